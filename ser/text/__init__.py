"""Emotion in the words: the embedded adapter on a sentence encoder, and any text classification checkpoint."""
