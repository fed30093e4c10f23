"""The methods that `compare` and `ablation` train.

This module imports nothing heavy, because the flags of both commands list them.
"""

from typing import NamedTuple

# Ablation: the losses that remain. All others get weight 0.
ABLATIONS = {
    name: [f"weight_{loss}" for loss in name.split("+")] for name in ("id", "id+wrt", "id+wrt+pef", "id+wrt+cmcc")
}
METHODS = ("mso", *ABLATIONS, "resnet50:softmax", "resnet50:triplet", "osnet_x1_0:softmax")


class Question(NamedTuple):
    """A question of the ablation, which has a section with this title."""

    title: str
    methods: tuple[str, ...]  # as `compare.configure` takes them
    references: tuple[str, ...]  # the methods that the others are compared with; each one gets a table


_CMCC, _NO_GRAY = "id+wrt+cmcc", "data.transforms [random_flip]"
QUESTIONS = {
    "parts": Question("What each part adds", ("id", "id+wrt", _CMCC, "id+wrt+pef", "mso"), ("id", "id+wrt")),
    "cmcc": Question(
        "Form and scale of the contrastive-center loss",
        (
            "id+wrt",
            _CMCC,
            f"{_CMCC} loss.cmcc.normalize False",
            f"{_CMCC} loss.cmcc.form ratio",
            f"{_CMCC} loss.cmcc.form ratio loss.cmcc.normalize False",
        ),
        ("id+wrt", _CMCC),
    ),
    "pef": Question(
        "Entry and scale of the perceptual edge loss",
        (_CMCC, "mso", "mso loss.pef.entry conv2", "mso loss.pef.normalize False"),
        (_CMCC, "mso"),
    ),
    "augmentation": Question(
        "With and without gray-channel augmentation",
        ("mso", f"mso {_NO_GRAY}", "id", f"id {_NO_GRAY}"),
        ("mso", "id", f"id {_NO_GRAY}"),
    ),
    "baselines": Question(
        "torchreid's own models", ("mso", "resnet18:softmax", "resnet18:triplet", "osnet_x0_25:softmax"), ("mso",)
    ),
    "schedule": Question(
        "The patent's learning rate and schedule",
        ("mso", "mso train.lr 0.005 train.lr_scheduler warmup_multi_step train.warmup_epoch 10"),
        ("mso",),
    ),
}
