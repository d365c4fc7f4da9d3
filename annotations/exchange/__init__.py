"""Recordings and votes in and out of the store: folders, tables and archives of others, exports that read back whole.

Knows no command line and runs no model.
"""
