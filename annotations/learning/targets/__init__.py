"""The trainers, one model a file."""
