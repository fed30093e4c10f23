"""Compare a results.json with published numbers: within, below or above them, and by how much.

The exit status is 1 if a result is below a published number. Without a file the command lists the published numbers. A difference of up to
--tolerance points (percent) is "within": a published row is the result of a single training, and a different seed may move it by about a
point. The standard deviation of a result is over the trials, so it includes only the effect of the sampled galleries.

A recipe is step-equal if, from the same weights and batches, its features, losses, gradients and updates are those of the authors' code.
"""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torchreid_rgbir.runs.reproduction import Comparison

EXAMPLE = "torchreid-rgbir published log/agw_sysu/results.json --method AGW"
LIGHT = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "results", nargs="?", metavar="RESULTS.json", help="the file of a run, of splits or of evaluate --json"
    )
    parser.add_argument("--method", default="", metavar="NAME", help="compare only with this method's row, such as AGW")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1.0,
        metavar="POINTS",
        help="largest difference, in points, that counts as within (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.runs.reproduction import compare, read_results

    if args.results is None:
        if args.method:
            raise ValueError(f"--method {args.method} needs a file: give the RESULTS.json to compare")
        print(listing())
        return 0
    results = read_results(args.results)
    found = compare(results, args.method, args.tolerance)
    print(render(results, found, args.tolerance))
    return int(any(comparison.verdict == "below" for comparison in found))


def listing() -> str:
    """The published rows as plain text; measures in %."""
    from torchreid_rgbir.metrics.report import COLUMNS
    from torchreid_rgbir.runs.published import ROWS

    lines = [f"{'data set':<10} {'setting':<24} {'method':<9}" + "".join(f"{COLUMNS[key]:>8}" for key in _MEASURES)]
    lines[0] += f"  {'recipe':<13}{'step-equal':<12}source"
    for row in ROWS:
        measures = "".join(f"{row.mean[key]:>8.2f}" if key in row.mean else f"{'-':>8}" for key in _MEASURES)
        reranked = "; re-ranked" if row.rerank else ""
        equal = {None: "-", False: "no", True: "yes"}[row.step_equal]
        recipe = f"{row.recipe or '-':<13}{equal:<12}"
        lines.append(f"{row.dataset:<10} {row.setting:<24} {row.method:<9}{measures}  {recipe}{row.source}{reranked}")
    return "\n".join(lines)


def render(results: dict, found: "list[Comparison]", tolerance: float) -> str:
    """One block per comparison, one line per measure."""
    from torchreid_rgbir.metrics.report import COLUMNS, setting_name

    lines = [f"{results['dataset']}, checkpoint {results.get('checkpoint', 'unknown')}"]
    for row, setting, differences, verdicts, notes in found:
        lines += ["", f"{setting_name(setting)}, against {row.method} ({row.source})"]
        for key, difference in differences.items():
            std = setting.get("std", {}).get(key, 0.0)
            here = f"{100 * setting['mean'][key]:.2f}" + (
                f" ± {100 * std:.2f}" if setting.get("num_trials", 1) > 1 else ""
            )
            lines.append(
                f"  {COLUMNS[key]:<7} {here:>14}   published {row.mean[key]:>6.2f}   {difference:+.2f}   {verdicts[key]}"
            )
        lines += [f"  note: {note}" for note in notes]
    words = ", ".join(f"{comparison.verdict} {comparison.row.method}'s" for comparison in found)
    return "\n".join([*lines, "", f"{words}; within means a difference of at most {tolerance:g} points"])


_MEASURES = ("rank1", "mAP", "mINP")
