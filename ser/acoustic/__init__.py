"""Emotion in the sound: features, the embedded network, and one face for it and for checkpoints of others.

Import the submodules where they are needed; this package itself stays light.
"""
