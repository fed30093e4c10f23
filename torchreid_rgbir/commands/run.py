"""Run a script written for torchreid, such as its scripts/main.py, unmodified and with the plugin installed."""

import argparse
import runpy
import sys
from pathlib import Path

from torchreid_rgbir.commands.arguments import add_import_argument

EXAMPLE = (
    "torchreid-rgbir run --set loss.pef.entry conv2 scripts/main.py -s sysu_mm01 --root reid-data "
    "model.name dual_resnet50 loss.name mso"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        nargs=2,
        action="append",
        default=[],
        metavar=("KEY", "VALUE"),
        help="a setting of the plugin, which torchreid's scripts do not have; may be repeated",
    )
    parser.add_argument(
        "--config",
        default="",
        metavar="FILE",
        help="a .yaml file of this package, or the name of a shipped one, whose settings of the plugin are used",
    )
    add_import_argument(parser)
    parser.add_argument("script", metavar="SCRIPT", help="path of the script")
    parser.add_argument("flags", nargs=argparse.REMAINDER, metavar="...", help="flags of the script")


def run(args: argparse.Namespace) -> int:
    from torchreid_rgbir import distributed
    from torchreid_rgbir.integration.torchreid_patch import install

    script = Path(args.script).expanduser()
    if not script.is_file():
        raise FileNotFoundError(
            f"{script} is missing: give the path of a script, such as deep-person-reid/scripts/main.py"
        )
    install([word for pair in args.set for word in pair], args.config)
    # As `python SCRIPT` does: torchreid's main.py imports a module of its own folder.
    sys.argv = [str(script), *args.flags]
    sys.path.insert(0, str(script.resolve().parent))
    with distributed.processes():
        runpy.run_path(str(script), run_name="__main__")
        args.output = sys.stdout  # torchreid's Logger, which would close standard output if it were deleted now
    return 0
