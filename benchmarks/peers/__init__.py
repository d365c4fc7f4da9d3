"""Other programs for speech emotion recognition, on EmoBox's folds of RAVDESS."""
