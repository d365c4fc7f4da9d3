"""The commands of `python -m annotations`, a module for each kind: options, the call, and what is printed."""
