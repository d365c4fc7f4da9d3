"""The retraining loop: votes in, compared and perhaps promoted model versions out."""
