"""Checks a data set on disk before training: layout, identities, counts and images. The exit status is 1 if there is a problem."""

import argparse
from typing import TYPE_CHECKING

from torchreid_rgbir import terminal
from torchreid_rgbir.commands.arguments import add_import_argument

if TYPE_CHECKING:
    from torchreid_rgbir.doctor.diagnose import Diagnosis

EXAMPLE = "torchreid-rgbir doctor --dataset sysu_mm01 --root reid-data"

# Written out, because the modules that define them import torch. A test compares them.
LAYOUTS = (
    *("sysu_mm01", "regdb", "llcm", "rgbnt100", "rgbn300", "msvr310", "rgbnt201"),
    *("hitsz_vcm", "bupt_campus", "rgbir_folder", "rgbir_synthetic"),
)
_MAX_SHOWN = 20  # details of a finding


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--dataset", required=True, metavar="NAME", help=f"one of {', '.join(LAYOUTS)}, or a custom one")
    add_import_argument(parser)
    add(
        "--root",
        required=True,
        metavar="DIR",
        help="folder of the data set, the folder that contains it, or its archive, which is unpacked beside itself",
    )
    add(
        "--ir-range",
        default="auto",
        metavar="RULE",
        help="data.ir_range of the training, for images of more than 8 bits: auto, dtype or LOW,HIGH; default %(default)s",
    )


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir.doctor.diagnose import diagnose
    from torchreid_rgbir.files.archive import unpacked

    diagnosis = diagnose(args.dataset, unpacked(args.root), progress=True, ir_range=args.ir_range)
    print(terminal.bold_title(render(diagnosis)))
    return 0 if diagnosis.healthy else 1


def render(diagnosis: "Diagnosis") -> str:
    """The report: a table of the counts, then the findings with problems first."""
    synthetic = " (synthetic: published counts are not expected)" if diagnosis.synthetic else ""
    lines = [f"{diagnosis.dataset} in {diagnosis.folder}{synthetic}"]
    if diagnosis.counts:
        width = max(len(count.what) for count in diagnosis.counts)
        source = "synthetic" if diagnosis.synthetic else "published"
        lines.append(f"\n  {'':<{width}}  {'found':>7}  {source:>9}")
        for count in diagnosis.counts:
            expected = "-" if count.expected is None else count.expected
            lines.append(f"  {count.what:<{width}}  {count.found:>7}  {expected:>9}")
    lines.append(f"\nimages opened: {diagnosis.num_images}")
    for finding in diagnosis.findings:
        lines.append(f"{'PROBLEM' if finding.problem else 'note'}: {finding.text}")
        lines += [f"  {detail}" for detail in finding.details[:_MAX_SHOWN]]
        if len(finding.details) > _MAX_SHOWN:
            lines.append(f"  ... and {len(finding.details) - _MAX_SHOWN} more")
    problems = sum(finding.problem for finding in diagnosis.findings)
    lines.append(
        f"{problems} problem{'s' * (problems > 1)} to fix before training" if problems else "ready for training"
    )
    return "\n".join(lines)
