"""The plugin's side of torchreid: registration, and torchreid's own names."""
