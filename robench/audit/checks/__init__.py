"""The checks: each takes a table and yields findings."""
