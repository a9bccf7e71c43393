"""Walks a plan and makes what is missing."""
