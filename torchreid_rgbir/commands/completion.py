"""Print the script that lets a shell complete commands, flags, names, configuration keys and files; no TAB then starts Python.

bash: write it to ~/.local/share/bash-completion/completions/torchreid-rgbir
zsh: write it to a file _torchreid-rgbir in a folder of $fpath
fish: write it to ~/.config/fish/completions/torchreid-rgbir.fish"""

import argparse
import importlib
from collections.abc import Iterable

import shtab

from torchreid_rgbir import DATASETS, config, terminal
from torchreid_rgbir.data.transforms import AUGMENTATIONS

EXAMPLE = "torchreid-rgbir completion bash"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose language it is to be in")


def run(args: argparse.Namespace) -> int:
    print(shtab.complete(whole(), args.shell))
    return 0


def whole() -> argparse.ArgumentParser:
    """All commands in one parser, each of its words with what may stand there."""
    from torchreid_rgbir import cli

    parser = argparse.ArgumentParser(prog="torchreid-rgbir")
    terminal.add_flags(parser)
    commands = parser.add_subparsers()
    for name, text in cli.COMMANDS.items():
        described = commands.add_parser(name, help=text)
        cli.describe(described, importlib.import_module(f"torchreid_rgbir.commands.{name}"))
        _offer(described)
    return parser


def _offer(parser: argparse.ArgumentParser) -> None:
    """Names where names are wanted, files where any other text is."""
    names: dict[str, Iterable[str]] = {
        "sources": DATASETS,
        "targets": DATASETS,
        "dataset": DATASETS,
        "transforms": AUGMENTATIONS,
        "opts": config.keys(config.defaults()),
    }
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _offer(inner)
        elif action.dest in names:
            action.choices = list(names[action.dest])
        elif action.nargs != 0 and action.type is None and not action.choices:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
