"""What the tables of an exported folder are called; writers and readers agree on them here."""

OWN_TABLE = "annotations.jsonl"
"""What this program's own export calls its table; it says all that the store knew, votes and consent included."""

TABLE = "metadata.csv"
"""The table of the `audiofolder` form. Source: https://huggingface.co/docs/datasets/audio_dataset"""
