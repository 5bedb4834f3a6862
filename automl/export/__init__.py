"""ONNX, safetensors and policy files, verified after writing."""
