"""Rates, intervals and leaderboards, counted from outcome tables. Nothing here needs torch."""
