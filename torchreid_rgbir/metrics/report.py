"""Builds results.json and the tables that show it."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from torchreid_rgbir.files.atomic import write_text
from torchreid_rgbir.modality import NAMES

COLUMNS = {"rank1": "Rank-1", "rank5": "Rank-5", "rank10": "Rank-10", "rank20": "Rank-20", "mAP": "mAP", "mINP": "mINP"}
# On a narrow terminal these columns are skipped, in this order, until the others fit.
DROPPED = ("trials", "gallery", "valid queries", "Rank-5", "Rank-20", "mINP", "Rank-10")


def results(
    dataset: str,
    settings: Sequence[dict],
    *,
    query: str = "ir",
    feature: str = "bn",
    distance: str = "cosine",
    flip: bool | None = None,
    normalize_feature: bool | None = None,
) -> dict:
    """The content of results.json.

    Args:
        settings: the dicts that a protocol's `score` returns.
        query: "ir" or "rgb", the modality of the queries, or of the first direction's queries.
        feature: which of the model's features was evaluated.
        flip: whether the mirrored image's feature was added. With None (unknown) the key is omitted.
        normalize_feature: whether features were scaled to length 1 first. With None (unknown) the key is omitted.
    """
    made = {"flip": flip, "normalize_feature": normalize_feature}
    return {
        "dataset": dataset,
        "query": query,
        "gallery": NAMES[1 - NAMES.index(query)],
        "feature": feature,
        "distance": distance,
        **{key: value for key, value in made.items() if value is not None},
        "settings": list(settings),
    }


def write_results(path: str | Path, results: dict) -> None:
    """Writes JSON atomically: a reader finds the old file or the new one."""
    write_text(path, json.dumps(results, indent=2, allow_nan=False) + "\n")


def write_with_table(path: Path, results: dict) -> None:
    """Writes results.json, and the same results as a table beside it, in a file that ends in .md."""
    table = markdown_table(results)
    write_results(path, results)
    write_text(path.with_suffix(".md"), table)


def check_folder(path: str | Path) -> None:
    """Checks, before the work starts, that its result can be written to `path`.

    Raises:
        OSError: it cannot be written there.
    """
    path = Path(path)
    folder = path.absolute().parent
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the path of a file in it")
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder: create it, or choose a different path than {path}")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"{folder} is not writable: choose a different path than {path}")


def terminal_table(results: dict, width: int | None = None) -> str:
    """The settings as aligned columns of plain text; measures in %, mean ± standard deviation over the trials.

    Args:
        results: the content of results.json.
        width: columns of the terminal (`terminal.width`). If the table is wider, each setting takes two lines, its name
            and its numbers, without those columns of `DROPPED` that still do not fit. None: the complete table.
    """
    table, caption = _cells(results), _caption(results)
    lines = _aligned(table)
    if width is None:
        return "\n".join([caption, "", *lines])
    title = wrap(caption, width, break_on_hyphens=False)
    if len(lines[1]) <= width:  # the rule is the longest line
        return "\n".join([*title, "", *lines])
    names, kept = [row[0] for row in table[1:]], list(table[0][1:])
    for dropped in ("", *DROPPED):
        kept = [name for name in kept if name != dropped]
        lines = _aligned([["", *(row[table[0].index(name)] for name in kept)] for row in table])
        if len(lines[1]) <= width:
            break
    rows = [
        line
        for name, numbers in zip(names, lines[2:], strict=True)
        for line in (*wrap(name, width, break_on_hyphens=False), numbers)
    ]
    return "\n".join([*title, "", *lines[:2], *rows])


def _aligned(table: list[list[str]]) -> list[str]:
    """The lines of a table: header, rule and rows. The first column is aligned to the left, the others to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    lines = []
    for row in [table[0], ["-" * width for width in widths], *table[1:]]:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join([row[0].ljust(widths[0]), *numbers]).rstrip())
    return lines


def markdown_table(results: dict) -> str:
    """The same table in Markdown."""
    header, *rows = _cells(results)
    rule = [":--", *("--:" for _ in header[1:])]
    lines = [f"| {' | '.join(cells)} |" for cells in (header, rule, *rows)]
    return "\n".join([_caption(results), "", *lines, ""])


def torchreid_line(results: dict) -> str:
    """The first setting, or the first with re-ranking, in the form of torchreid's log, where its tools look for numbers."""
    settings = results["settings"]
    first = next((setting for setting in settings if setting.get("rerank")), settings[0])
    ranks = "  ".join(f"Rank-{rank:<3}: {first['mean'][f'rank{rank}']:.1%}" for rank in (1, 5, 10, 20))
    return f"{setting_name(first)}:  mAP: {first['mean']['mAP']:.1%}  {ranks}"


def setting_name(setting: dict) -> str:
    """A setting in words, such as "all-search, single-shot, official"."""
    if "search" in setting:
        shots = {1: "single-shot", 10: "multi-shot"}[setting["shots"]]
        name = f"{setting['search']}-search, {shots}, {setting['sampling']}"
        name += ", RGB queries (not official)" if setting.get("query") == "rgb" else ""
    elif "splits" in setting:
        name = f"{setting['direction']}, mean of {len(setting['splits'])} splits"
    else:
        name = setting["direction"] + (f", split {setting['split']}" if setting.get("split") else "")
    if corruption := setting.get("corruption"):
        images = {"both": "RGB and IR"}.get(corruption["images"], corruption["images"].upper())
        name += f", corrupted {images} images"
    rerank = setting.get("rerank")
    return name + (f", re-ranked ({rerank['k1']}, {rerank['k2']}, {rerank['lambda']:g})" if rerank else "")


def _caption(results: dict) -> str:
    """The line above a table: what is the same for every row."""
    queries = "" if any("direction" in setting for setting in results["settings"]) else f"{results['query']} queries, "
    made = ", flip test" if results.get("flip") else ""
    made += ", L2-normalized" if results.get("normalize_feature") else ""
    num_junk = max(setting.get("num_junk", 0) for setting in results["settings"])
    junk = f"; {num_junk} junk images (negative identities) excluded" if num_junk else ""
    return (
        f"{results['dataset']}: {queries}{results['distance']} distance, {results['feature']} features{made}; "
        f"measures in %{junk}"
    )


def _cells(results: dict) -> list[list[str]]:
    table = [["setting", *COLUMNS.values(), "valid queries", "gallery", "trials"]]
    for setting in results["settings"]:
        measures = [_percent(setting["mean"][key], setting["std"][key], setting["num_trials"]) for key in COLUMNS]
        valid = f"{setting['num_valid_queries']}/{setting['num_queries']}"
        table.append([setting_name(setting), *measures, valid, str(setting["num_gallery"]), str(setting["num_trials"])])
    return table


def _percent(mean: float, std: float, num_trials: int) -> str:
    return f"{100 * mean:.2f}" + (f" ± {100 * std:.2f}" if num_trials > 1 else "")
