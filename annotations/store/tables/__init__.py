"""The SQL of the tables: rows in, records out."""
