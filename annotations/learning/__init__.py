"""The loop: feedback in, compared and perhaps promoted model versions out."""
