"""The reasons for an answer: moments, bands, words and voice cues, each with how much it moved the probability."""
