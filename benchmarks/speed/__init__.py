"""Time, memory and workers of the whole pipeline."""
