"""The experiments of docs/results.md on synthetic people: what each part adds, the patent's schedule, and all methods."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from yacs.config import CfgNode

from torchreid_rgbir import config
from torchreid_rgbir.extras import require
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs import ingredients, reach
from torchreid_rgbir.runs.compare import configure, folder_of, run_or_error
from torchreid_rgbir.runs.comparison import against, markdown, summary
from torchreid_rgbir.runs.methods import QUESTIONS, SETTINGS, STARTS, Question, Setting
from torchreid_rgbir.runs.resume_or_skip import check_same_run
from torchreid_rgbir.visual.comparison import draw_comparison

logger = logging.getLogger(__name__)

T = TypeVar("T")
EVAL_FREQ = 5  # epochs between two tests of a question with curves


class Run(NamedTuple):
    """One training of the ablation."""

    question: str
    method: str
    seed: int
    cfg: CfgNode
    folder: Path

    @property
    def checkpoint(self) -> Path:
        """The file that the run's last epoch wrote."""
        return self.folder / f"model/model.pth.tar-{self.cfg.train.max_epoch}"

    @property
    def is_finished(self) -> bool:
        return (self.folder / "results.json").is_file()


def ablation(out: Path, questions: Sequence[str] = tuple(QUESTIONS), seeds: Sequence[int] = ()) -> str:
    """Trains and scores every method of the questions. Finished runs are kept, and interrupted ones resume.

    If a run fails, the failure is reported and the other runs continue.

    Args:
        out: The folder for data/, starts/ (the trained starting points), runs/, ablation.md, and for each question a figure
            and the results as JSON.
        questions: Names in `QUESTIONS`.
        seeds: Of every question; by default each question's own number of seeds.

    Returns:
        The tables of each question as Markdown, which ablation.md has too.

    Raises:
        ValueError: A seed is listed twice, or `out` has runs of a different configuration.
        OSError: `out` cannot be written, or its data/ contains something else.
    """
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"duplicate seeds {', '.join(map(str, seeds))}: list each only once")
    if out.is_file():
        raise NotADirectoryError(f"{out} is a file: choose a folder")
    out.mkdir(parents=True, exist_ok=True)
    if any(QUESTIONS[name].extra == "curves" for name in questions):
        require("visual", "matplotlib")  # before the first run, and not after the last one
    runs = list(_planned(out, questions, seeds))
    for run in runs:
        check_same_run(run.cfg, run.folder)
    results: dict[tuple[str, str], dict[int, dict]] = {}
    # Every method runs with the first seed before any method runs with the second one.
    for number, run in enumerate(sorted(runs, key=lambda run: run.seed)):
        if not run.is_finished:
            logger.info("run %d of %d: %s", number + 1, len(runs), run.folder.relative_to(out / "runs"))
        [found] = run_or_error(run.cfg, run.folder, run.cfg.data.sources).values()
        results.setdefault((run.question, run.method), {})[run.seed] = found
    sections = []
    for name in questions:
        sections.append(_section(QUESTIONS[name], name, results, out))
        finished = [run for run in runs if run.question == name and run.is_finished]
        if QUESTIONS[name].extra == "curves":
            _draw_curves(finished, out / f"{name}-curves.png")
        if QUESTIONS[name].extra == "reach" and finished:
            sections.append(reach.tables(_by_method(finished, lambda run: (run.cfg, run.checkpoint))))
    text = "\n".join(sections)
    report.write_text(out / "ablation.md", text)
    return text


def _planned(out: Path, questions: Sequence[str], seeds: Sequence[int]) -> Iterator[Run]:
    """Makes what the runs start from, says how long the runs take, and yields them."""
    own = {name: list(seeds) or list(range(1, QUESTIONS[name].num_seeds + 1)) for name in questions}
    wanted = [
        (name, method, seed, _folder(out, QUESTIONS[name], method, seed))
        for name in questions
        for seed in own[name]
        for method in QUESTIONS[name].methods
    ]
    keys = {folder: _setting(name).seconds for name, _, _, folder in wanted}  # questions share runs
    left = [seconds for folder, seconds in keys.items() if not (folder / "results.json").is_file()]
    logger.info(
        "%d runs, of which %d are finished; the others take about %.1f hours on one thread of a Xeon with AVX-512, "
        "and the starting points half an hour",
        len(keys),
        len(keys) - len(left),
        sum(left) / 3600,
    )
    texts = [text for name in questions for text in (_setting(name).words, *QUESTIONS[name].methods)]
    words = {word for text in texts for word in text.split()}
    starts = {name: str(ingredients.starting_point(name, out)) for name in STARTS if name in words}
    roots = {data: ingredients.DATA[data][1](out / "data") for data in {_setting(name).data for name in questions}}
    for name, method, seed, folder in wanted:
        cfg = configured(QUESTIONS[name], method, seed, starts)
        cfg.data.sources = [ingredients.DATA[_setting(name).data][0]]
        cfg.data.root = str(roots[_setting(name).data])
        yield Run(name, method, seed, cfg, folder)


def _setting(name: str) -> Setting:
    return SETTINGS[QUESTIONS[name].setting]


def configured(question: Question, method: str, seed: int, starts: Mapping[str, str]) -> CfgNode:
    """The configuration of a method of a question, without its data.

    Args:
        question, method: in `QUESTIONS`.
        seed: of the training.
        starts: the name of each starting point -> the file that stands in its place.
    """
    name, *own = method.split()
    base, name = (name, "mso") if name in {path.stem for path in config.shipped()} else ("ablation", name)
    shared = SETTINGS[question.setting].words.split()
    if question.extra == "curves":
        shared += ["test.eval_freq", str(EVAL_FREQ)]
    cfg = config.override(config.load(base), [starts.get(word, word) for word in shared])
    words = [starts.get(word, word) for word in own]
    return configure(cfg, " ".join([name, *words, "train.seed", str(seed), "test.save_features", "True"]))


def _folder(out: Path, question: Question, method: str, seed: int) -> Path:
    tested = "-curves" if question.extra == "curves" else ""
    return folder_of(out / "runs" / f"{question.setting}{tested}", method, seed)


def _section(question: Question, name: str, results: dict[tuple[str, str], dict[int, dict]], out: Path) -> str:
    found = summary({method: results[name, method] for method in question.methods})
    found["dataset"] = ingredients.DATA[SETTINGS[question.setting].data][0]
    report.write_results(out / f"{name}.json", found)
    draw_comparison(found, out / f"{name}.png")
    tables = (markdown(against(found, reference)) for reference in question.references)
    return f"## {question.title}\n\n" + "\n".join(tables)


def _draw_curves(runs: Sequence[Run], path: Path) -> None:
    from torchreid_rgbir.visual import curves, save_picture  # they need the extra `visual`

    if runs:
        save_picture(curves.draw_methods(_by_method(runs, lambda run: curves.read_curves(run.folder))), path)


def _by_method(runs: Sequence[Run], value: Callable[[Run], T]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for run in runs:
        found.setdefault(run.method, []).append(value(run))
    return found
