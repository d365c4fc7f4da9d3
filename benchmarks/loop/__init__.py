"""Votes, retraining and its cost to the page."""
