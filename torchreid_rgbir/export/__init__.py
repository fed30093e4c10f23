"""A trained model for use elsewhere: ONNX graphs, safetensors, and a loader that needs neither torchreid nor this package."""

from torchreid_rgbir.export.folder import export

__all__ = ["export"]
