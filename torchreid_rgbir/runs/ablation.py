"""What each part of the method brings: the ablation of docs/results.md, on synthetic people that training never saw."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torchreid_rgbir import config
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs.compare import against, compare, markdown
from torchreid_rgbir.runs.quickstart import DATASET, IMAGES_PER_CAMERA, NUM_IDS
from torchreid_rgbir.synthetic.write import is_written, synthesize
from torchreid_rgbir.visual.comparison import draw_comparison

_CMCC, _PLAIN = "id+wrt+cmcc", "data.transforms [random_flip]"


class Question(NamedTuple):
    """Attributes:
    title: of its section.
    methods: what `compare.configure` takes.
    references: those of them that the others are compared with, a table each.
    """

    title: str
    methods: tuple[str, ...]
    references: tuple[str, ...]


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
        ("mso", f"mso {_PLAIN}", "id", f"id {_PLAIN}"),
        ("mso", "id", f"id {_PLAIN}"),
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


def ablation(out: Path, seeds: Sequence[int], questions: Sequence[str] = tuple(QUESTIONS)) -> str:
    """Trains and scores every method of the questions with every seed; finished runs are kept.

    Args:
        out: folder of data/, runs/, and of what is returned, as ablation.md, with its picture.
        seeds: of the runs; the data is the quick start's, always the same.
        questions: names in `QUESTIONS`.

    Returns:
        The tables of each question, as Markdown.

    Raises:
        ValueError: a seed named twice, or none.
        OSError: `out` cannot be written, or its data/ holds something else.
    """
    data = out / "data/SYSU-MM01"
    if not is_written(DATASET, data, NUM_IDS, IMAGES_PER_CAMERA):
        synthesize(DATASET, data, NUM_IDS, IMAGES_PER_CAMERA)
    cfg = config.load("ablation")
    cfg.data.root = str(data)
    methods = dict.fromkeys(method for name in questions for method in QUESTIONS[name].methods)
    found = compare(cfg, list(methods), seeds, out / "runs")
    rows = {row["method"]: row for row in found["methods"]}
    sections = []
    for name in questions:
        question = QUESTIONS[name]
        asked = found | {"methods": [rows[method] for method in question.methods]}
        tables = (markdown(against(asked, reference)) for reference in question.references)
        sections.append(f"## {question.title}\n\n" + "\n".join(tables))
    draw_comparison(found, out / "ablation.png")
    text = "\n".join(sections)
    report.write_text(out / "ablation.md", text)
    return text
