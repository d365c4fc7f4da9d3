"""Erasure, retention, inspection and repair of the store."""
