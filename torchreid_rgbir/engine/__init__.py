"""Training and testing: the engine, its schedules and its checkpoints."""

from torchreid_rgbir.engine.baseline import BaselineEngine
from torchreid_rgbir.engine.cross_modal import CrossModalEngine
from torchreid_rgbir.engine.schedule import build_lr_scheduler
from torchreid_rgbir.engine.testing import EvalOptions

__all__ = ["BaselineEngine", "CrossModalEngine", "EvalOptions", "build_lr_scheduler"]
