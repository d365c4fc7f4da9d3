"""The recognise tab."""
