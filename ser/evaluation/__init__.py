"""Evaluation: predictions of labelled recordings, metrics, calibration, the report."""
