"""A local web page over a trained model and its references: `torchreid-rgbir demo`."""
