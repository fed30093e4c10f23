"""Exports a trained model as ONNX graphs and safetensors, with a loader that needs neither torchreid nor this package."""

from torchreid_rgbir.export.folder import export
from torchreid_rgbir.export.hub import export_hub

__all__ = ["export", "export_hub"]
