"""Test a trained model. This is the same as train with test.evaluate True."""

import argparse

from torchreid_rgbir.commands.train import add_arguments, configuration, train_and_show

__all__ = ["EXAMPLE", "add_arguments", "run"]

EXAMPLE = (
    "torchreid-rgbir test --config-file log/mso/config.yaml --root reid-data "
    "model.load_weights log/mso/model/model-best.pth.tar"
)


def run(args: argparse.Namespace) -> int:
    cfg = configuration(args)
    cfg.test.evaluate = True
    return train_and_show(cfg)
