"""What each command of `python -m ser` does; `ser.cli` reads their options and imports only the one that runs."""
