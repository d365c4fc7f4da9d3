"""How good models are: predictions of labelled recordings, metrics, calibration, the report."""
