"""Folders of trained models: writing and verifying them, the Hub, checkpoints of transformers. Knows no model."""
