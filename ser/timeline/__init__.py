"""Feeling over time: regions of one feeling in recordings of any length, with their words, and the changes."""
