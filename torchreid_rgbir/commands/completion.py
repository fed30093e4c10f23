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

EXAMPLE = "torchreid-rgbir completion bash"
LIGHT = True

# Written out, because the modules that define these names import torch. A test compares them.
DATASETS = ["sysu_mm01", "regdb", "llcm", "rgbir_folder", "rgbir_synthetic"]
TRANSFORMS = ["random_flip", "random_crop", "pad_crop", "channel_augment", "random_erase", "channel_erase"]
_SECTIONS = {
    "model": "name pretrained last_stride load_weights allow_partial resume",
    "data": "type root sources targets workers split_id height width combineall transforms transforms_rgb "
    "transforms_ir cache cache_dir norm_mean norm_std ir_range skip_broken save_dir",
    "sampler": "num_instances batches_per_epoch",
    "train": "optim lr weight_decay max_epoch start_epoch batch_size fixbase_epoch open_layers staged_lr "
    "new_layers base_lr_mult lr_scheduler warmup_epoch stepsize gamma target_loss amp accumulate ema "
    "compile gather_features sync_batchnorm print_freq checkpoint_freq keep_checkpoints on_nonfinite "
    "max_skipped seed",
    "sgd": "momentum dampening nesterov",
    "rmsprop": "alpha",
    "adam": "beta1 beta2",
    "loss": "name",
    "loss.softmax": "label_smooth",
    "loss.triplet": "margin weight_t weight_x",
    "loss.mso": "weight_id weight_wrt weight_pef weight_cmcc weight_wrt_sq weight_tri weight_hctri",
    "loss.pef": "entry weights normalize",
    "loss.cmcc": "form normalize",
    "test": "batch_size dist_metric normalize_feature query sampling feature flip rerank rerank_settings "
    "evaluate eval_freq start_eval visrank visrank_topk",
}
KEYS = [f"{section}.{name}" for section, names in _SECTIONS.items() for name in names.split()]
NAMES = {"sources": DATASETS, "targets": DATASETS, "dataset": DATASETS, "transforms": TRANSFORMS, "opts": KEYS}


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
