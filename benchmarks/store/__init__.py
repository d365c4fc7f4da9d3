"""Latency and load of the store."""
