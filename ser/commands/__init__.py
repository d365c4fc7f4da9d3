"""The commands of `python -m ser`; `ser.cli` reads their options and imports only the one that runs."""
