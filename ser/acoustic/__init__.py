"""Emotion from the voice: the classifier head on embeddings, and checkpoints of transformers.

Import the submodules where they are needed; this package itself stays light.
"""
