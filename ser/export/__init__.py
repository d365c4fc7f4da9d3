"""Brings models into ONNX and TorchScript form: graphs, conversion, int8, and the comparison of answers.

Needs the `onnx` package (`pip install onnx`), which recognition does without. `ser.checkpoints.onnx` runs the result.
"""
