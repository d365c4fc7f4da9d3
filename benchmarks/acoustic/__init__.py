"""Accuracy of the acoustic model."""
