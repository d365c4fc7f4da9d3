"""Brings acoustic models into ONNX form: conversion, int8, and the proof that the answers stayed the same.

Needs the `onnx` package (`pip install onnx`), which recognition does without; import the submodules only where it is
known to be there. Running what came out is the business of `ser.checkpoints.onnx`.
"""
