"""Print the script that lets a shell complete commands, flags, names, configuration keys and files.

Completing does not start Python.

bash: write it to ~/.local/share/bash-completion/completions/torchreid-rgbir
zsh: write it to a file _torchreid-rgbir in a folder of $fpath
fish: write it to ~/.config/fish/completions/torchreid-rgbir.fish"""

import argparse
import importlib

import shtab

from torchreid_rgbir import terminal
from torchreid_rgbir.commands import COMMANDS, describe
from torchreid_rgbir.commands.doctor import LAYOUTS
from torchreid_rgbir.integration.torchreid_keys import SHARED_KEYS, keys_of

EXAMPLE = "torchreid-rgbir completion bash"
LIGHT = True

# Written out, because the modules that define these names import torch. A test compares them.
TRANSFORMS = [
    *("random_flip", "random_crop", "pad_crop", "channel_augment", "random_erase", "channel_erase"),
    *("caj_erase", "caj_exchange", "caj_gray", "gray_pad_crop", "luckydc_erase", "mcja_colors", "mcja_erase"),
]
KEYS = SHARED_KEYS + keys_of(
    {
        "model": "last_stride pooling drop_path allow_partial",
        "data": "transforms_rgb transforms_ir transforms_rgb2 cache cache_dir ir_range ir skip_broken",
        "sampler": "name batches_per_epoch balance",
        "train": "warmup_epoch warmup_start target_loss amp accumulate ema compile gather_features sync_batchnorm layer_decay "
        "checkpoint_freq keep_checkpoints on_nonfinite max_skipped",
        "loss.mso": "weight_cmcc weight_cmr weight_tri weight_tri_pooled weight_hctri weight_pef weight_wrt weight_wrt_sq weight_id",
        "loss.wrt": "form features",
        "loss.wrt_sq": "form features",
        "loss.cmcc": "form normalize",
        "loss.pef": "entry weights normalize",
        "test": "query sampling feature flip rerank_settings corruption corruption_seed corruption_repeats save_features",
    }
)
NAMES = {"sources": LAYOUTS, "targets": LAYOUTS, "dataset": LAYOUTS, "transforms": TRANSFORMS, "opts": KEYS}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell that reads the script")


def run(args: argparse.Namespace) -> int:
    print(shtab.complete(complete_parser(), args.shell))
    return 0


def complete_parser() -> argparse.ArgumentParser:
    """Returns one parser with all commands, in which every argument has the words or files to complete it with."""
    parser = argparse.ArgumentParser(prog="torchreid-rgbir")
    terminal.add_flags(parser)
    commands = parser.add_subparsers()
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        describe(command, importlib.import_module(f"torchreid_rgbir.commands.{name}"))
        _add_words(command)
    return parser


def _add_words(parser: argparse.ArgumentParser) -> None:
    """Completes names where an argument takes names, and files where it takes any other text."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                _add_words(inner)
        elif action.dest in NAMES:
            action.choices = NAMES[action.dest]
        elif action.nargs != 0 and action.type is None and not action.choices:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
