"""Comparison of methods with the same protocol, data, schedule and seeds."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path

from yacs.config import CfgNode

from torchreid_rgbir import config
from torchreid_rgbir.config import checks
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs import per_query
from torchreid_rgbir.runs.comparison import SHOWN, against, markdown, summary
from torchreid_rgbir.runs.methods import ABLATIONS, METHODS
from torchreid_rgbir.runs.provenance import versions
from torchreid_rgbir.runs.reproduction import read_results
from torchreid_rgbir.runs.resume_or_skip import check_same_run, resume_or_skip
from torchreid_rgbir.runs.train import path_of

__all__ = [
    "ABLATIONS",
    "METHODS",
    "SHOWN",
    "against",
    "compare",
    "compare_runs",
    "configure",
    "markdown",
    "summary",
    "write",
]

logger = logging.getLogger(__name__)


def configure(cfg: CfgNode, method: str) -> CfgNode:
    """Returns the configuration of one method.

    Args:
        cfg: The configuration of the complete method, with everything that all methods share.
        method: "mso" for `cfg` itself, a name in `ABLATIONS`, or MODEL:LOSS with a model of torchreid and its loss,
            softmax or triplet. `KEY VALUE` words after it change the configuration further, as in "id+wrt+cmcc
            loss.cmcc.form ratio".

    Raises:
        ValueError: The method or a key is unknown, or `cfg` has weight 0 for a loss of the ablation.
    """
    cfg = cfg.clone()
    name, *overrides = method.split()
    if name in ABLATIONS:
        cfg.loss.mso.update({weight: 0.0 for weight in cfg.loss.mso if weight not in ABLATIONS[name]})
    elif name != "mso":
        cfg.model.name, colon, cfg.loss.name = name.partition(":")
        if not colon:
            raise ValueError(
                f"method {name} is unknown: choose mso, {', '.join(ABLATIONS)}, "
                "or MODEL:LOSS with a model of torchreid, such as resnet50:softmax"
            )
    config.override(cfg, overrides)
    missing = [weight for weight in ABLATIONS.get(name, ()) if not cfg.loss.mso[weight]]
    if missing:
        raise ValueError(
            f"method {name}: loss.mso.{missing[0]} is 0 in this configuration, "
            "set it to a weight above 0 or remove the method"
        )
    checks.check(cfg)
    return cfg


def compare(cfg: CfgNode, methods: Sequence[str], seeds: Sequence[int], out: Path) -> dict[str, dict]:
    """Trains and scores every method with every seed, each in `out`/METHOD/seed_SEED. Finished runs are not repeated.

    If a run fails, the failure is reported and the other runs continue. Every run keeps its features and the scores of
    each query (`test.save_features`), because `against` needs them.

    Args:
        cfg: The configuration that all runs share.
        methods: As for `configure`. The others are compared with the first one.

    Returns:
        The contents of `out`/compare.json by the name of the test data set. If there are several, each has a file of its
        own, such as compare-regdb.json.

    Raises:
        ValueError: A method is unknown, a method or seed is listed twice, a list is empty, or `out` has runs of a different
            configuration. All of this is checked before the first training.
        NotADirectoryError: `out` is a file.
    """
    for name, values in (("method", methods), ("seed", seeds)):
        if not values:
            raise ValueError(f"the list of {name}s is empty: give at least one {name}")
        if len(set(values)) < len(values):
            raise ValueError(f"duplicate {name}s {', '.join(map(str, values))}: list each only once")
    if out.is_file():
        raise NotADirectoryError(f"{out} is a file: choose a folder")
    # Every method runs with the first seed before any method runs with the second one.
    planned = [
        (method, seed, configure(cfg, f"{method} train.seed {seed} test.save_features True"))
        for seed in seeds
        for method in methods
    ]
    targets = list(cfg.data.targets or cfg.data.sources)
    for method, seed, own in planned:
        check_same_run(own, folder_of(out, method, seed))
    runs: dict[str, dict[str, dict[int, dict]]] = {target: {method: {} for method in methods} for target in targets}
    for number, (method, seed, own) in enumerate(planned, start=1):
        logger.info("run %d of %d: %s, seed %d", number, len(planned), method, seed)
        for target, results in run_or_error(own, folder_of(out, method, seed), targets).items():
            runs[target][method][seed] = results
    found = {target: summary(runs[target]) | {"dataset": target, "versions": versions()} for target in targets}
    write(found, out)
    return found


def compare_runs(folders: Sequence[Path]) -> dict[str, dict]:
    """Compares finished runs and trains nothing. Each run is a method with the name of its folder.

    Args:
        folders: The folders of two or more runs with `test.save_features True`. The others are compared with the first one.

    Returns:
        As `compare`. `seeds` is [None].

    Raises:
        FileNotFoundError: A folder has no results, or no scores of each query.
        ValueError: The runs were tested on different data sets, queries or settings, or a file is damaged.
    """
    if len(set(folders)) < max(len(folders), 2):
        raise ValueError(f"runs {', '.join(map(str, folders))}: give the folders of two or more different runs")
    tests = {str(folder): _finished(folder) for folder in folders}
    first = str(folders[0])
    for folder, tested in tests.items():
        if tested.keys() != tests[first].keys():
            sets = [f"{one} was tested on {', '.join(tests[one])}" for one in (first, folder)]
            raise ValueError(f"{' and '.join(sets)}: compare runs with the same test data sets")
        for dataset, results in tested.items():
            setting, other = (report.setting_name(one["settings"][0]) for one in (tests[first][dataset], results))
            if setting != other:
                raise ValueError(f"{first} was scored in {setting} and {folder} in {other}: test both in the same way")
    found = {}
    for dataset in tests[first]:
        one = summary({folder: {None: tested[dataset]} for folder, tested in tests.items()})
        intervals = [row.get("difference_over_identities", {}) for row in one["methods"]]
        if errors := [interval["error"] for interval in intervals if "error" in interval]:
            raise ValueError(errors[0])
        found[dataset] = one | {"dataset": dataset, "versions": versions()}
    return found


def _finished(folder: Path) -> dict[str, dict]:
    """Reads the results of a run by the name of the data set. `queries` is added, whether the file exists or not."""
    paths = sorted(folder.glob("results*.json"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no results.json: give the folder of a finished run")
    results = {path: read_results(path) for path in paths}
    return {one["dataset"]: one | {"queries": str(per_query.queries_of(path))} for path, one in results.items()}


def write(found: dict[str, dict], out: Path) -> None:
    """Writes what `compare` returned to `out`/compare.json and, as a table, to compare.md."""
    out.mkdir(parents=True, exist_ok=True)  # it is missing if every run failed
    for target, one in found.items():
        path = path_of(out / "compare.json", target, found)
        report.write_results(path, one)
        report.write_text(path.with_suffix(".md"), markdown(one))


def folder_of(out: Path, method: str, seed: int) -> Path:
    """The folder of a method's run with one seed, below `out`."""
    return out / "-".join(re.findall(r"[\w.+]+", method)) / f"seed_{seed}"


def run_or_error(cfg: CfgNode, folder: Path, targets: Sequence[str]) -> dict[str, dict]:
    """As `resume_or_skip`, with the key `queries`. If the run fails, every target has {"error": text} instead."""
    try:
        found = resume_or_skip(cfg, folder)
        paths = {name: path_of(folder / "results.json", name, found) for name in found}
        return {name: per_query.with_queries(results, paths[name]) for name, results in found.items()}
    except Exception as error:  # no error of one run may end the others
        logger.warning("%s failed: %s", folder, error, exc_info=logger.isEnabledFor(logging.DEBUG))
        return dict.fromkeys(targets, {"error": f"{type(error).__name__}: {error}".splitlines()[0]})
