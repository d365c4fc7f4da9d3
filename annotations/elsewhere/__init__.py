"""The store elsewhere: everything that people would miss, copied off a disk that may be emptied, and brought back."""
