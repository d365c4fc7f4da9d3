"""The insights tab."""
