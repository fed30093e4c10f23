"""Comparison of methods with the same protocol, data, schedule and seeds."""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from yacs.config import CfgNode

from torchreid_rgbir import config
from torchreid_rgbir.config import checks
from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs.methods import ABLATIONS, METHODS
from torchreid_rgbir.runs.provenance import versions
from torchreid_rgbir.runs.resume_or_skip import check_same_run, resume_or_skip
from torchreid_rgbir.runs.train import path_of

__all__ = ["ABLATIONS", "METHODS", "SHOWN", "against", "compare", "configure", "markdown", "summary"]

logger = logging.getLogger(__name__)

SHOWN = {"rank1": "Rank-1", "mAP": "mAP", "mINP": "mINP"}


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

    If a run fails, the failure is reported and the other runs continue.

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
    planned = [(method, seed, configure(cfg, f"{method} train.seed {seed}")) for seed in seeds for method in methods]
    targets = list(cfg.data.targets or cfg.data.sources)
    for method, seed, own in planned:
        check_same_run(own, _folder(out, method, seed))
    runs: dict[str, dict[str, dict[int, dict]]] = {target: {method: {} for method in methods} for target in targets}
    for number, (method, seed, own) in enumerate(planned, start=1):
        logger.info("run %d of %d: %s, seed %d", number, len(planned), method, seed)
        for target, results in _run(own, _folder(out, method, seed), targets).items():
            runs[target][method][seed] = results
    found = {target: summary(runs[target]) | {"dataset": target, "versions": versions()} for target in targets}
    out.mkdir(parents=True, exist_ok=True)  # it is missing if every run failed
    for target in targets:
        path = path_of(out / "compare.json", target, targets)
        report.write_results(path, found[target])
        report.write_text(path.with_suffix(".md"), markdown(found[target]))
    return found


def _folder(out: Path, method: str, seed: int) -> Path:
    return out / "-".join(re.findall(r"[\w.+]+", method)) / f"seed_{seed}"


def _run(cfg: CfgNode, folder: Path, targets: Sequence[str]) -> dict[str, dict]:
    try:
        return resume_or_skip(cfg, folder)
    except Exception as error:  # no error of one run may end the others
        logger.warning("%s failed: %s", folder, error, exc_info=logger.isEnabledFor(logging.DEBUG))
        return dict.fromkeys(targets, {"error": f"{type(error).__name__}: {error}".splitlines()[0]})


def summary(runs: dict[str, dict[int, dict]]) -> dict:
    """Averages the protocol's first setting over the seeds.

    Args:
        runs: Method -> seed -> the contents of results.json, or {"error": text} if the run failed.

    Returns:
        "setting", "seeds", and "methods", which has for each method its "mean" and "std" over the finished seeds and
        its "runs" (measures or error of each seed). `against` adds the comparison with the first method.
    """
    setting, rows = "", []
    for method, by_seed in runs.items():
        row: dict[str, Any] = {"method": method, "runs": []}
        for seed, results in by_seed.items():
            if "error" in results:
                row["runs"].append({"seed": seed, "error": results["error"]})
            else:
                first = results["settings"][0]
                setting = report.setting_name(first)
                row["runs"].append({"seed": seed, "mean": first["mean"]})
        if measures := [run["mean"] for run in row["runs"] if "mean" in run]:
            columns = {key: [mean[key] for mean in measures] for key in SHOWN}
            row["mean"] = {key: float(np.mean(values)) for key, values in columns.items()}
            row["std"] = {key: float(np.std(values)) for key, values in columns.items()}
        rows.append(row)
    found = {"setting": setting, "seeds": list(next(iter(runs.values()))), "methods": rows}
    return against(found, next(iter(runs)))


def against(found: dict, reference: str) -> dict:
    """Compares each method with a different reference.

    Args:
        found: What `compare` returned.

    Returns:
        `found` with "reference". Each other method has "difference": its mAP minus the reference's, over the seeds that
        both finished, with the 95 % confidence interval of the paired differences (Student's t, for two or more seeds).

    Raises:
        ValueError: `reference` is not one of the methods.
    """
    mAPs = {
        row["method"]: {run["seed"]: run["mean"]["mAP"] for run in row["runs"] if "mean" in run}
        for row in found["methods"]
    }
    if reference not in mAPs:
        raise ValueError(f"reference {reference} is not among the methods: choose one of {', '.join(mAPs)}")
    rows = []
    for row in found["methods"]:
        row = {key: value for key, value in row.items() if key != "difference"}
        own, other = mAPs[row["method"]], mAPs[reference]
        differences = [own[seed] - other[seed] for seed in own if seed in other]
        if row["method"] != reference and differences:
            row["difference"] = _difference(differences)
        rows.append(row)
    return found | {"reference": reference, "methods": rows}


def _difference(values: list[float]) -> dict[str, float]:
    mean = float(np.mean(values))
    if len(values) == 1:
        return {"mAP": mean}
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return {"mAP": mean, "low": mean - half, "high": mean + half}


def markdown(found: dict) -> str:
    """Returns the table in %: mean ± standard deviation over seeds, and the mAP difference with its 95 % interval."""
    reference = found["reference"]
    lines = [
        f"{found['dataset']}: {found['setting']}; {len(found['seeds'])} seeds, measures in %",
        "",
        f"| method | {' | '.join(SHOWN.values())} | mAP against {reference} [95 %] | runs |",
        "| :-- |" + " --: |" * (len(SHOWN) + 2),
    ]
    for row in found["methods"]:
        done = [run for run in row["runs"] if "error" not in run]
        cells = [f"{100 * row['mean'][key]:.2f} ± {100 * row['std'][key]:.2f}" if done else "-" for key in SHOWN]
        cells += [_interval(row.get("difference")), f"{len(done)}/{len(row['runs'])}"]
        lines.append(f"| {' | '.join([row['method'], *cells])} |")
    failed = [(row["method"], run) for row in found["methods"] for run in row["runs"] if "error" in run]
    lines += ["", *(f"{method}, seed {run['seed']} failed: {run['error']}" for method, run in failed)]
    return "\n".join(lines).rstrip() + "\n"


def _interval(difference: dict[str, float] | None) -> str:
    if difference is None:
        return ""
    text = f"{100 * difference['mAP']:+.2f}"
    return text + (f" [{100 * difference['low']:+.2f}, {100 * difference['high']:+.2f}]" if "low" in difference else "")
