"""The pretrained speech encoder: its weights, found and checked, and frame and clip embeddings of a signal.

Serving runs on onnxruntime and imports no torch; `ser.encoder.torch_form` is for fine-tuning.
"""
