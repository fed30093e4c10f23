"""Score the features of any model under a data set's protocol."""

import argparse
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from torchreid_rgbir import __version__, terminal
from torchreid_rgbir.modality import NAMES

if TYPE_CHECKING:
    from torchreid_rgbir.metrics.rerank import Rerank

EXAMPLE = "torchreid-rgbir evaluate features.npz --protocol sysu_mm01 --permutations SYSU-MM01/exp/rand_perm_cam.mat --json results.json"

LIGHT = True

PROTOCOLS = (
    *("sysu_mm01", "regdb", "llcm", "rgbnt100", "rgbn300", "msvr310", "rgbnt201", "hitsz_vcm", "bupt_campus"),
    "standard",
)
# Written out, because the modules that define them import NumPy. A test compares them.
SAMPLINGS, DISTANCES = ("official", "agw"), ("cosine", "euclidean")
SPECTRA, THREE_SPECTRA = ("nir", "tir"), ("rgbnt100", "msvr310", "rgbnt201")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "features",
        metavar="FEATURES.npz",
        help="file with the arrays features (N, D), pids, camids, modalities (0 RGB, 1 IR) and, for SYSU-MM01, "
        "image_numbers (1-based in each cam/id folder); optionally tracks and roles (docs/protocols.md)",
    )
    parser.add_argument(
        "--protocol",
        required=True,
        choices=PROTOCOLS,
        help="rules for choosing galleries and computing metrics; standard: all test images of the other modality",
    )
    parser.add_argument(
        "--permutations",
        metavar="FILE",
        help="sysu_mm01: the path of the data set's exp/rand_perm_cam.mat; required for the official trials",
    )
    parser.add_argument(
        "--sampling",
        choices=SAMPLINGS,
        help="sysu_mm01: how galleries are sampled. official (default): as in rand_perm_cam.mat. "
        "agw: as in AGW's public code, single-shot only",
    )
    parser.add_argument(
        "--split",
        type=int,
        metavar="N",
        help="regdb: the number of the split that the features are from; it is only recorded in the results",
    )
    parser.add_argument(
        "--ir",
        choices=SPECTRA,
        help=f"{', '.join(THREE_SPECTRA)}: the spectrum of the IR images, which the results record (default: nir)",
    )
    parser.add_argument(
        "--distance", choices=DISTANCES, default="cosine", help="distance between features (default: %(default)s)"
    )
    parser.add_argument(
        "--query", choices=NAMES[::-1], default="ir", help="the modality of the queries (default: %(default)s)"
    )
    parser.add_argument(
        "--rerank",
        nargs=3,
        metavar=("K1", "K2", "LAMBDA"),
        help="also report results with k-reciprocal re-ranking, for example 20 6 0.3; "
        "do not compare these results with results without re-ranking",
    )
    parser.add_argument("--json", metavar="OUT", help="write the results as JSON")
    parser.add_argument("--markdown", metavar="OUT", help="write the table in Markdown")


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.metrics import report

    for out in filter(None, (args.json, args.markdown)):
        report.check_folder(out)
    results = evaluate(
        args.features,
        args.protocol,
        permutations=args.permutations,
        sampling=args.sampling,
        split=args.split,
        ir=args.ir,
        query=args.query,
        distance=args.distance,
        rerank=_rerank(args.rerank),
    )
    print(terminal.bold_title(report.terminal_table(results, terminal.width(sys.stdout))))
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
    ir: str | None = None,
    query: str = "ir",
    distance: str = "cosine",
    rerank: "Rerank | None" = None,
) -> dict:
    """Scores a feature file in every setting of a protocol.

    Args:
        features: the .npz file (`metrics.load_features`).
        protocol: a name in `PROTOCOLS`.
        permutations, sampling: for sysu_mm01; the default of sampling is "official".
        split: for regdb.
        ir: "nir" or "tir", for sets with three spectra; the default is "nir".
        query, distance, rerank: as in `Protocol.score`.

    Returns:
        The content of results.json, with the feature file instead of a checkpoint.

    Raises:
        ValueError, FileNotFoundError: an argument or a file is wrong.
    """
    import numpy
    import scipy

    from torchreid_rgbir.metrics import load_features, report
    from torchreid_rgbir.protocols import (
        BothDirectionsProtocol,
        BUPTCampusProtocol,
        LLCMProtocol,
        MSVR310Protocol,
        Protocol,
        RegDBProtocol,
        StandardProtocol,
        SYSUMM01Protocol,
    )

    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol {protocol!r} is unknown: choose one of {', '.join(PROTOCOLS)}")
    for flag, value, owners in (
        ("permutations", permutations, ("sysu_mm01",)),
        ("sampling", sampling, ("sysu_mm01",)),
        ("split", split, ("regdb",)),
        ("ir", ir, THREE_SPECTRA),
    ):
        if value is not None and protocol not in owners:
            raise ValueError(f"--{flag} is for {', '.join(owners)} and has no effect on {protocol}: remove it")
    if permutations is not None and sampling == "agw":
        raise ValueError(
            "--permutations has no effect with --sampling agw, which draws without a file: remove one of them"
        )

    rules: Protocol = {
        "sysu_mm01": lambda: SYSUMM01Protocol(permutations),
        "regdb": lambda: RegDBProtocol(split),
        "llcm": LLCMProtocol,
        "rgbnt100": lambda: BothDirectionsProtocol(ir or "nir"),
        "rgbn300": lambda: BothDirectionsProtocol("nir"),
        "msvr310": lambda: MSVR310Protocol(ir or "nir"),
        "rgbnt201": lambda: BothDirectionsProtocol(ir or "nir"),
        "hitsz_vcm": BothDirectionsProtocol,
        "bupt_campus": BUPTCampusProtocol,
        "standard": StandardProtocol,
    }[protocol]()
    data = load_features(features)
    try:
        settings = rules.score(data, query=query, distance=distance, sampling=sampling or "official", rerank=rerank)
    except ValueError as error:
        raise ValueError(f"{features}: {error}") from None
    return report.results(protocol, settings, query=query, feature="given", distance=distance) | {
        "features": str(features),
        "versions": {
            "torchreid_rgbir": __version__,
            "python": platform.python_version(),
            "numpy": numpy.__version__,
            "scipy": scipy.__version__,
        },
    }


def _rerank(words: list[str] | None) -> "Rerank | None":
    from torchreid_rgbir.metrics.rerank import Rerank

    if words is None:
        return None
    try:
        return Rerank(int(words[0]), int(words[1]), float(words[2]))
    except ValueError:
        raise ValueError(
            f"--rerank {' '.join(words)}: expected two whole numbers and a fraction, e.g. --rerank 20 6 0.3"
        ) from None
