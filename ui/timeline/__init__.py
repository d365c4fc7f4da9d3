"""Feeling over time on the page: the timeline of a recording, its regions corrected, saved and exported."""
