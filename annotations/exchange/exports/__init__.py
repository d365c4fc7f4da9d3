"""Export: clips with votes in, files of several formats out."""
