"""Import: recordings, tables and archives in, clips with votes out."""
