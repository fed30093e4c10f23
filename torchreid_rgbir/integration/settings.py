"""The plugin's settings for torchreid's own scripts: every configuration key that those scripts do not have."""

import logging
from collections.abc import Sequence

from yacs.config import CfgNode

from torchreid_rgbir import config, distributed
from torchreid_rgbir.config import checks
from torchreid_rgbir.integration.torchreid_keys import TORCHREID_KEYS

logger = logging.getLogger(__name__)

SEVERAL_PROCESSES = ("train.gather_features", "train.sync_batchnorm")


current: CfgNode = config.defaults()  # what `install` was called with


def read(overrides: Sequence[str], file: str = "") -> CfgNode:
    """Reads the plugin's settings.

    Args:
        overrides: KEY VALUE words, such as ["loss.pef.entry", "conv2"].
        file: A configuration file of this package, or the name of a shipped one. torchreid's keys in it are not used.

    Returns:
        A configuration in which torchreid's keys have their default values.

    Raises:
        ValueError: A key is unknown or torchreid's, a value is not valid, or a key needs several processes.
        FileNotFoundError: The file is missing.
    """
    defaults, cfg = config.defaults(), config.load(file)
    unused = [key for key in config.differences(cfg, defaults) if key in TORCHREID_KEYS]
    if unused:
        logger.warning("%s also sets keys of torchreid, which only the script can set: %s", file, ", ".join(unused))
    for key in unused:
        section, _, name = key.rpartition(".")
        config.get(cfg, section)[name] = config.get(defaults, key)
    for key in overrides[::2]:
        if key in TORCHREID_KEYS:
            raise ValueError(f"{key} is torchreid's own key: pass it after the script's name")
    config.override(cfg, overrides)
    for key in SEVERAL_PROCESSES:
        if config.get(cfg, key) and not distributed.asked_for():
            raise ValueError(f"{key} needs several processes: start the script with torchrun, or remove the key")
    if cfg.train.layer_decay < 1:
        raise ValueError(
            "train.layer_decay is not available in torchreid's scripts, which build the optimizer: use `torchreid-rgbir train`"
        )
    checks.check(cfg)
    return cfg
