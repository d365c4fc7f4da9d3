"""The maintainers' cards and the upkeep of a served page."""
