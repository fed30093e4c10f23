"""The ablation in docs/results.md, which measures on synthetic people what each part of the method adds."""

from collections.abc import Sequence
from pathlib import Path

from torchreid_rgbir import config
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs.compare import against, compare, markdown
from torchreid_rgbir.runs.methods import QUESTIONS
from torchreid_rgbir.runs.quickstart import DATASET, IMAGES_PER_CAMERA, NUM_IDS
from torchreid_rgbir.synthetic.write import is_written, synthesize
from torchreid_rgbir.visual.comparison import draw_comparison


def ablation(out: Path, seeds: Sequence[int], questions: Sequence[str] = tuple(QUESTIONS)) -> str:
    """Trains and scores every method of the questions with every seed. Finished runs are kept.

    Args:
        out: The folder for data/ (that of the quick start), runs/, ablation.md and ablation.png.
        questions: Names in `QUESTIONS`.

    Returns:
        The tables of each question as Markdown, which ablation.md has too.

    Raises:
        ValueError: A seed is listed twice, or there is none.
        OSError: `out` cannot be written, or its data/ contains something else.
    """
    data = out / "data/SYSU-MM01"
    if not is_written(DATASET, data, NUM_IDS, IMAGES_PER_CAMERA):
        synthesize(DATASET, data, NUM_IDS, IMAGES_PER_CAMERA)
    cfg = config.load("ablation")
    cfg.data.root = str(data)
    methods = dict.fromkeys(method for name in questions for method in QUESTIONS[name].methods)
    found = compare(cfg, list(methods), seeds, out / "runs")[DATASET]
    rows = {row["method"]: row for row in found["methods"]}
    sections = []
    for question in (QUESTIONS[name] for name in questions):
        asked = found | {"methods": [rows[method] for method in question.methods]}
        tables = (markdown(against(asked, reference)) for reference in question.references)
        sections.append(f"## {question.title}\n\n" + "\n".join(tables))
    draw_comparison(found, out / "ablation.png")
    text = "\n".join(sections)
    report.write_text(out / "ablation.md", text)
    return text
