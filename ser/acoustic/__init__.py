"""Emotion in the voice: heads on encoders, exported models, and finished checkpoints, all behind one protocol."""
