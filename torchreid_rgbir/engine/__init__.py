"""Training and testing: the engines, learning-rate schedules, and what keeps a run safe."""

from torchreid_rgbir.engine.baseline import BaselineEngine
from torchreid_rgbir.engine.cross_modal import CrossModalEngine
from torchreid_rgbir.engine.evaluation import EvalOptions
from torchreid_rgbir.engine.image_mso import ImageMSOEngine
from torchreid_rgbir.engine.schedule import build_lr_scheduler

__all__ = ["BaselineEngine", "CrossModalEngine", "EvalOptions", "ImageMSOEngine", "build_lr_scheduler"]
