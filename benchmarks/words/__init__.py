"""Accuracy of transcripts, of the text model and of fusion."""
