"""The table of a comparison: each method's mean over seeds, and its difference from a reference with confidence intervals."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import stats

from torchreid_rgbir.metrics import report
from torchreid_rgbir.runs import per_query

SHOWN = {"rank1": "Rank-1", "mAP": "mAP", "mINP": "mINP"}


def summary(runs: Mapping[str, Mapping[Any, dict]]) -> dict:
    """Averages the protocol's first setting over the seeds.

    Args:
        runs: Method -> seed -> the contents of results.json, or {"error": text} if the run failed. `queries` in them is
            the file with the scores of each query, if there is one (`per_query.with_queries`).

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
                run = {"seed": seed, "mean": first["mean"]}
                if "queries" in results:
                    run["queries"] = results["queries"]
                row["runs"].append(run)
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
        If all of these runs have the scores of each query, it also has "difference_over_identities", the interval of
        `paired_bootstrap` for the mean over these seeds, or the error that prevents it.

    Raises:
        ValueError: `reference` is not one of the methods.
    """
    done = {row["method"]: {run["seed"]: run for run in row["runs"] if "mean" in run} for row in found["methods"]}
    if reference not in done:
        raise ValueError(f"reference {reference} is not among the methods: choose one of {', '.join(done)}")
    rows = []
    for row in found["methods"]:
        row = {key: value for key, value in row.items() if not key.startswith("difference")}
        seeds = [seed for seed in done[row["method"]] if seed in done[reference]]
        if row["method"] != reference and seeds:
            ours, theirs = ([done[method][seed] for seed in seeds] for method in (row["method"], reference))
            pairs = zip(ours, theirs, strict=True)
            row["difference"] = _difference([one["mean"]["mAP"] - other["mean"]["mAP"] for one, other in pairs])
            if interval := per_query.over_identities(ours, theirs):
                row["difference_over_identities"] = interval
        rows.append(row)
    return found | {"reference": reference, "methods": rows}


def _difference(values: list[float]) -> dict[str, float]:
    mean = float(np.mean(values))
    if len(values) == 1:
        return {"mAP": mean}
    half = float(stats.t.ppf(0.975, len(values) - 1) * stats.sem(values))
    return {"mAP": mean, "low": mean - half, "high": mean + half}


def markdown(found: dict) -> str:
    """Returns the table in %: mean ± standard deviation over seeds, and the mAP difference with its 95 % intervals.

    The interval over identities has a column if a method has one.
    """
    intervals = [row.get("difference_over_identities", {}) for row in found["methods"]]
    num_ids = next((interval["num_ids"] for interval in intervals if "num_ids" in interval), None)
    seeds, over_seeds = f"{len(found['seeds'])} seeds", " [95 % over seeds]"
    if found["seeds"] == [None]:  # of `compare_runs`
        seeds, over_seeds = "one run each", ""
    differences = [f"mAP against {found['reference']}{over_seeds}"]
    differences += [f"[95 % over {num_ids} identities]"] if num_ids else []
    lines = [
        f"{found['dataset']}: {found['setting']}; {seeds}, measures in %",
        "",
        f"| method | {' | '.join([*SHOWN.values(), *differences])} | runs |",
        "| :-- |" + " --: |" * (len(SHOWN) + len(differences) + 1),
    ]
    notes = []
    for row, interval in zip(found["methods"], intervals, strict=True):
        done = [run for run in row["runs"] if "error" not in run]
        cells = [f"{100 * row['mean'][key]:.2f} ± {100 * row['std'][key]:.2f}" if done else "-" for key in SHOWN]
        difference = row.get("difference", {})
        cells.append(f"{100 * difference['mAP']:+.2f} {_range(difference)}".rstrip() if difference else "")
        cells += [_range(interval)] if num_ids else []
        cells.append(f"{len(done)}/{len(row['runs'])}")
        lines.append(f"| {' | '.join([row['method'], *cells])} |")
        failed = [run for run in row["runs"] if "error" in run]
        notes += [f"{row['method']}, seed {run['seed']} failed: {run['error']}" for run in failed]
        if "error" in interval:
            notes.append(f"{row['method']} has no interval over identities: {interval['error']}")
    return "\n".join([*lines, "", *notes]).rstrip() + "\n"


def _range(interval: dict[str, float]) -> str:
    return f"[{100 * interval['low']:+.2f}, {100 * interval['high']:+.2f}]" if "low" in interval else ""
