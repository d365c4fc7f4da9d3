"""Import and export of clips with all that is known of them."""

OWN_TABLE = "annotations.jsonl"
"""Table of this program's own export, which holds all that the store knew, votes and consent included."""

TABLE = "metadata.csv"
"""The table of the `audiofolder` form. Source: https://huggingface.co/docs/datasets/audio_dataset"""
