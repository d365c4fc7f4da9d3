"""Imports, copies and the annotators' page."""
