"""Scores features extracted by any model under a data set's protocol."""

import argparse
import platform
from pathlib import Path

import numpy
import scipy

import torchreid_rgbir
from torchreid_rgbir import terminal
from torchreid_rgbir.metrics import distance as distance_module
from torchreid_rgbir.metrics import report
from torchreid_rgbir.metrics.features import load_features
from torchreid_rgbir.metrics.rerank import Rerank
from torchreid_rgbir.modality import NAMES
from torchreid_rgbir.protocols import llcm, regdb, standard, sysu_mm01

EXAMPLE = "torchreid-rgbir evaluate features.npz --protocol sysu_mm01 --permutations SYSU-MM01/exp/rand_perm_cam.mat --json results.json"

PROTOCOLS = ("sysu_mm01", "regdb", "llcm", "standard")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "features",
        metavar="FEATURES.npz",
        help="arrays features (N, D), pids, camids, modalities (0 RGB, 1 IR) and, for SYSU-MM01, image_numbers (1-based in each cam/id folder)",
    )
    parser.add_argument(
        "--protocol", required=True, choices=PROTOCOLS, help="how galleries are drawn and what is measured"
    )
    parser.add_argument("--permutations", metavar="FILE", help="sysu_mm01: exp/rand_perm_cam.mat, the official trials")
    parser.add_argument(
        "--sampling",
        choices=tuple(sysu_mm01.SHOTS),
        help="sysu_mm01: the trials of rand_perm_cam.mat (default), or those of AGW's public code (single-shot)",
    )
    parser.add_argument(
        "--split", type=int, metavar="N", help="regdb: the split the features belong to, for the record"
    )
    parser.add_argument("--distance", choices=distance_module.METRICS, default="cosine", help="default: %(default)s")
    parser.add_argument(
        "--query", choices=NAMES[::-1], default="ir", help="the modality that asks (default: %(default)s)"
    )
    parser.add_argument(
        "--rerank",
        nargs=3,
        metavar=("K1", "K2", "LAMBDA"),
        help="also score with k-reciprocal re-ranking, e.g. 20 6 0.3; a second set of rows, not comparable with the first",
    )
    parser.add_argument("--json", metavar="OUT", help="write the results as JSON")
    parser.add_argument("--markdown", metavar="OUT", help="write the table in Markdown")


def run(args: argparse.Namespace) -> int:
    for out in filter(None, (args.json, args.markdown)):
        report.check_folder(out)
    results = evaluate(
        args.features,
        args.protocol,
        permutations=args.permutations,
        sampling=args.sampling,
        split=args.split,
        query=args.query,
        distance=args.distance,
        rerank=_rerank(args.rerank),
    )
    print(terminal.bold_title(report.terminal_table(results)))
    if args.json:
        report.write_results(args.json, results)
    if args.markdown:
        report.write_text(args.markdown, report.markdown_table(results))
    return 0


def evaluate(
    features: str | Path,
    protocol: str,
    *,
    permutations: str | Path | None = None,
    sampling: str | None = None,
    split: int | None = None,
    query: str = "ir",
    distance: str = "cosine",
    rerank: Rerank | None = None,
) -> dict:
    """Scores a feature file in all settings of a protocol.

    Args:
        features: the .npz file (`metrics.load_features`).
        protocol: "sysu_mm01", "regdb", "llcm" or "standard".
        permutations, sampling: of sysu_mm01; sampling None is its default, "official".
        split: of regdb.
        query, distance, rerank: as in the protocol's `report`.

    Returns:
        What results.json holds, with the feature file in place of a checkpoint.

    Raises:
        ValueError, FileNotFoundError: a user's mistake.
    """
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {protocol!r} is unknown: choose one of {', '.join(PROTOCOLS)}")
    for flag, value, owner in (
        ("permutations", permutations, "sysu_mm01"),
        ("sampling", sampling, "sysu_mm01"),
        ("split", split, "regdb"),
    ):
        if value is not None and protocol != owner:
            raise ValueError(f"--{flag} belongs to {owner} and has no effect on {protocol}: leave it out")
    if permutations is not None and sampling == "agw":
        raise ValueError("--permutations has no effect with --sampling agw, which draws without a file: leave one out")

    data = load_features(features)
    try:
        if protocol == "sysu_mm01":
            settings = sysu_mm01.report(
                data, permutations, query=query, distance=distance, sampling=sampling or "official", rerank=rerank
            )
        elif protocol == "regdb":
            settings = regdb.report(data, split, query=query, distance=distance, rerank=rerank)
        elif protocol == "llcm":
            settings = llcm.report(data, query=query, distance=distance, rerank=rerank)
        else:
            settings = standard.report(data, query=query, distance=distance, rerank=rerank)
    except ValueError as error:
        raise ValueError(f"{features}: {error}") from None
    return report.results(protocol, settings, query=query, feature="given", distance=distance) | {
        "features": str(features),
        "versions": {
            "torchreid_rgbir": torchreid_rgbir.__version__,
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "scipy": scipy.__version__,
        },
    }


def _rerank(words: list[str] | None) -> Rerank | None:
    if words is None:
        return None
    try:
        return Rerank(int(words[0]), int(words[1]), float(words[2]))
    except ValueError:
        raise ValueError(
            f"--rerank {' '.join(words)}: expected two whole numbers and a fraction, e.g. --rerank 20 6 0.3"
        ) from None
