"""The registry of model versions: cards, differences, the Hub, retention, loading."""
