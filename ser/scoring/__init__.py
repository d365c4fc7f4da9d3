"""Many recordings into one parquet folder: resumable, and on more than one machine where Ray is there."""
