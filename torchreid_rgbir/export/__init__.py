"""Exports a trained model as ONNX graphs and safetensors, with a loader that needs neither torchreid nor this package."""

from torchreid_rgbir.export.folder import export

__all__ = ["export"]
