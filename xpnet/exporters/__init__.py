"""Trained models as files for other libraries: `onnx` and `pytorch`.

May import: device, nn, data, runs.
"""
