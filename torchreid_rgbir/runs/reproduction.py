"""Compares a results.json with published rows: within, below or above them, and by how many points."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torchreid_rgbir.protocols.regdb import NUM_SPLITS
from torchreid_rgbir.runs.published import COUNTS, ROWS, Row, setting_of

OFFICIAL_NAMES = {
    **{"sysu_mm01": "SYSU-MM01", "regdb": "RegDB", "llcm": "LLCM"},
    **{"rgbnt201": "RGBNT201", "rgbnt100": "RGBNT100", "msvr310": "MSVR310"},
}


class Comparison(NamedTuple):
    """One setting of a results.json and one published row.

    Attributes:
        row: the published row.
        setting: the setting of results.json.
        differences: measure -> result minus row, in points (percent).
        verdicts: measure -> "within", "below" or "above".
        notes: known and possible differences in how the two were computed.
    """

    row: Row
    setting: dict
    differences: dict[str, float]
    verdicts: dict[str, str]
    notes: list[str]

    @property
    def verdict(self) -> str:
        """ "below" if a measure is below, otherwise "above" if one is above, otherwise "within"."""
        return next((word for word in ("below", "above") if word in self.verdicts.values()), "within")


def read_results(path: str | Path) -> dict:
    """Reads a results.json and checks that it has everything a comparison needs.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is not a results.json.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give the results.json of a run or of `evaluate --json`")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error or type(error).__name__}") from None
    lacking = _lacking(results)
    if lacking:
        raise ValueError(f"{path} is not a results.json: {lacking}")
    return results


def compare(results: dict, method: str = "", tolerance: float = 1.0) -> list[Comparison]:
    """Compares results with the published rows of the same data set, setting and re-ranking.

    Args:
        results: of `read_results`.
        method: compares only with this method's rows, in any case; with all rows when empty.
        tolerance: the largest difference, in points (percent), that counts as equal.

    Returns:
        At least one comparison, in the order of the settings.

    Raises:
        ValueError: the tolerance is out of range, the method is unknown, or nothing can be compared. The message says why.
    """
    if not 0 <= tolerance < 100:
        raise ValueError(f"a tolerance of {tolerance:g} points is out of range: choose at least 0 and less than 100")
    rows = _rows(results["dataset"], method)
    found, reasons = [], []
    for setting in results["settings"]:
        named = [row for row in rows if (row.setting, row.rerank) == (setting_of(setting), "rerank" in setting)]
        reason = _incomparable(results["dataset"], setting) or ("" if named else _no_row(setting, method))
        if reason:
            reasons.append(reason)
            continue
        found += [_compare(row, setting, results, tolerance) for row in named]
    if not found:
        others = f" (and {len(reasons) - 1} more settings)" if len(reasons) > 1 else ""
        raise ValueError(f"nothing to compare: {reasons[0]}{others}")
    return found


def _rows(dataset: str, method: str) -> Sequence[Row]:
    datasets = sorted({row.dataset for row in ROWS})
    rows = [row for row in ROWS if row.dataset == dataset]
    if not rows:
        raise ValueError(f"there is no published row for {dataset}: there are rows for {', '.join(datasets)}")
    chosen = [row for row in rows if row.method.lower() == method.lower()] if method else rows
    if not chosen:
        known = ", ".join(sorted({row.method for row in rows}))
        raise ValueError(f"there is no row of the method {method} for {dataset}: choose from {known}")
    return chosen


def _incomparable(dataset: str, setting: dict) -> str:
    """Why no published number is comparable with a setting; empty if one may be."""
    name = setting_of(setting)
    if setting.get("query") == "rgb":
        return f"{name} with RGB queries is not defined by the data set's authors"
    if "corruption" in setting:
        return f"{name} has corrupted images (test.corruption), but published rows are for the images as they are"
    splits = setting.get("splits") or [setting.get("split")]
    if dataset == "regdb" and len(splits) < NUM_SPLITS:
        what = f"the mean of {len(splits)} splits" if "splits" in setting else "the result of one split"
        return f"{name} is {what}, but published numbers are means of {NUM_SPLITS} splits: run torchreid-rgbir splits"
    expected = COUNTS.get((dataset, name))
    counts = setting["num_queries"], setting["num_gallery"]
    if expected and counts != expected:
        return (
            f"{name} has {counts[0]} queries and a gallery of {counts[1]}, but {OFFICIAL_NAMES[dataset]} has {expected[0]} and "
            f"{expected[1]}: the data set is a different one, incomplete or synthetic (check it with torchreid-rgbir doctor)"
        )
    return ""


def _no_row(setting: dict, method: str) -> str:
    kind = "re-ranked results" if "rerank" in setting else "results without re-ranking"
    return f"there is no row{f' of {method}' if method else ''} for {kind} of {setting_of(setting)}"


def _compare(row: Row, setting: dict, results: dict, tolerance: float) -> Comparison:
    # Published numbers have at most two decimals.
    differences = {key: round(100 * setting["mean"][key] - value, 2) for key, value in row.mean.items()}
    verdicts = {key: _verdict(value, tolerance) for key, value in differences.items()}
    return Comparison(row, setting, differences, verdicts, _notes(row, setting, results))


def _verdict(difference: float, tolerance: float) -> str:
    if abs(difference) <= tolerance:
        return "within"
    return "above" if difference > 0 else "below"


def _notes(row: Row, setting: dict, results: dict) -> list[str]:
    notes = []
    if "sampling" in setting and row.sampling != setting["sampling"]:
        theirs = f"with {row.sampling}" if row.sampling else "in an unknown way"
        notes.append(
            f"galleries are sampled with test.sampling {setting['sampling']}, {row.method}'s were sampled {theirs}"
        )
    flip = results.get("flip")
    if row.flip is not None and flip is not None and row.flip != flip:
        words = {True: "adds the mirrored image's feature", False: "uses the image alone"}
        notes.append(f"the test {words[flip]} (test.flip), {row.method}'s {words[row.flip]}")
    if results.get("distance") == "euclidean" and not results.get("normalize_feature"):
        notes.append("distances are Euclidean, of features that are not normalized (test.dist_metric)")
    if results.get("feature") == "pooled":
        notes.append("features are taken before batch normalization (test.feature)")
    if "rerank" in setting:
        notes.append(f"{row.method}'s re-ranking differs from k-reciprocal re-ranking with these settings")
    if (row.dataset, row.setting) not in COUNTS:
        notes.append(f"no published count says whether these {setting['num_queries']} queries are all")
    left_out = results.get("run", {}).get("num_left_out", 0)
    if left_out:
        notes.append(f"{left_out} images could not be read and were skipped (data.skip_broken)")
    return notes


def _lacking(results: Any) -> str:
    if not isinstance(results, dict) or not isinstance(results.get("dataset"), str):
        return 'it has no "dataset"'
    settings = results.get("settings")
    if not isinstance(settings, list) or not settings or not all(isinstance(setting, dict) for setting in settings):
        return 'it has no "settings"'
    for place, setting in enumerate(settings):
        counts = (setting.get("num_queries"), setting.get("num_gallery"))
        if not all(isinstance(count, int) for count in counts):
            return f"setting {place} lacks num_queries or num_gallery"
        if "search" in setting and (setting.get("shots") not in (1, 10) or "sampling" not in setting):
            return f"setting {place} lacks shots (1 or 10) or sampling"
        if "search" not in setting and not isinstance(setting.get("direction"), str):
            return f"setting {place} lacks search or direction"
        mean = setting.get("mean")
        values = [mean.get(key) for key in ("rank1", "mAP", "mINP")] if isinstance(mean, dict) else [None]
        if not all(isinstance(value, (int, float)) and 0 <= value <= 1 for value in values):
            return f"setting {place} lacks a mean rank1, mAP or mINP between 0 and 1"
    return ""
