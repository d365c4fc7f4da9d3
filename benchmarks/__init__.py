"""Measurements of accuracy, speed and memory, each one command with a JSON result."""
