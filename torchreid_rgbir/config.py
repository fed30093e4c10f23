"""The configuration: torchreid's keys under torchreid's names, ours beside them; the defaults are the patent's setting."""

import contextlib
import difflib
import math
from collections.abc import Sequence
from pathlib import Path

import yaml
from yacs.config import CfgNode as CN

from torchreid_rgbir.download import is_remote
from torchreid_rgbir.losses.own import LOSSES

PACKAGE = Path(__file__).parent
# What PyYAML raises for text that it cannot make a value of; besides its own errors: a date of month 13, an empty !!int, a thousand brackets.
NOT_YAML = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, RecursionError)


def defaults() -> CN:
    """All keys with their default values; a yaml file or `KEY VALUE` pairs change them."""
    cfg = CN()

    cfg.model = CN()
    cfg.model.name = "dual_resnet50"  # dual_resnet18, 34, 50, 101, dual_resnet50_ibn_a, or any model of torchreid's
    cfg.model.pretrained = True  # ImageNet weights, downloaded once
    cfg.model.last_stride = 1  # stride of Layer4
    cfg.model.load_weights = (
        ""  # checkpoint whose weights to start from, or to test: path, URL or Google Drive id (#sha256=...)
    )
    cfg.model.allow_partial = False  # load_weights may lack more than the classifier
    cfg.model.resume = ""  # checkpoint to continue from; auto: the newest good one in data.save_dir, if there is one

    cfg.data = CN()
    cfg.data.type = "image"  # torchreid's; video has no cross-modal data
    cfg.data.root = "reid-data"  # a folder, or an archive, which is unpacked beside itself
    cfg.data.sources = ["sysu_mm01"]
    cfg.data.targets = []  # empty: the sources
    cfg.data.workers = 4
    cfg.data.split_id = 0  # RegDB: 0-9 are the official splits 1-10
    cfg.data.height = 288
    cfg.data.width = 144
    cfg.data.combineall = False  # train on the test images too
    cfg.data.transforms = ["pad_crop", "random_flip"]
    cfg.data.transforms_rgb = []  # further ones, of RGB images only
    cfg.data.transforms_ir = []  # further ones, of IR images only
    cfg.data.cache = "none"  # where images are kept once they are decoded, while training: none, ram, disk
    cfg.data.cache_dir = ""  # the folder for disk; empty: .decoded in data.root
    cfg.data.norm_mean = [0.485, 0.456, 0.406]
    cfg.data.norm_std = [0.229, 0.224, 0.225]
    cfg.data.skip_broken = False  # leave out images that cannot be read, instead of ending with an error
    cfg.data.save_dir = "log"

    cfg.sampler = CN()
    cfg.sampler.num_instances = 4  # K, images of an identity and modality; P = train.batch_size / 2K
    cfg.sampler.batches_per_epoch = 0  # 0: as many as draw each image of the larger modality once on average

    cfg.train = CN()
    cfg.train.optim = "adam"
    cfg.train.lr = 0.005
    cfg.train.weight_decay = 5e-4
    cfg.train.max_epoch = 200
    cfg.train.start_epoch = 0
    cfg.train.batch_size = 64
    cfg.train.fixbase_epoch = 0
    cfg.train.open_layers = ["classifier"]
    cfg.train.staged_lr = False
    cfg.train.new_layers = ["classifier"]
    cfg.train.base_lr_mult = 0.1
    cfg.train.lr_scheduler = "warmup_multi_step"  # warmup_multi_step, warmup_cosine, and torchreid's
    cfg.train.warmup_epoch = 10  # epochs from a tenth of the learning rate up to it
    cfg.train.stepsize = [20, 25, 30]
    cfg.train.gamma = 0.1
    cfg.train.target_loss = 0.0  # training ends once an epoch's mean loss is at or under it; 0: never
    cfg.train.amp = "off"  # mixed precision: bf16, fp16 (with a gradient scaler), off
    cfg.train.accumulate = 1  # batches whose gradients are averaged for one step
    cfg.train.ema = 0.0  # decay of averaged weights, which are then tested and saved, such as 0.999; 0: none
    cfg.train.compile = False  # the backbone through torch.compile
    cfg.train.gather_features = False  # torchrun: WRT and CMCC see the batch of all processes
    cfg.train.sync_batchnorm = False  # torchrun: batch normalisation over all processes
    cfg.train.print_freq = 20
    cfg.train.checkpoint_freq = 1  # epochs from one checkpoint to the next; each test leaves one too
    cfg.train.keep_checkpoints = 2  # so many of the newest, besides the best
    cfg.train.on_nonfinite = "stop"  # at a loss or gradient that is not finite: stop, or skip the batch
    cfg.train.max_skipped = 10  # batches, in a run; one more stops it
    cfg.train.seed = 1

    cfg.sgd = CN()
    cfg.sgd.momentum = 0.9
    cfg.sgd.dampening = 0.0
    cfg.sgd.nesterov = False
    cfg.rmsprop = CN()
    cfg.rmsprop.alpha = 0.99
    cfg.adam = CN()
    cfg.adam.beta1 = 0.9
    cfg.adam.beta2 = 0.999

    cfg.loss = CN()
    cfg.loss.name = "mso"  # mso for dual_resnet, softmax or triplet for torchreid's own models
    cfg.loss.softmax = CN()
    cfg.loss.softmax.label_smooth = False
    cfg.loss.triplet = CN()  # torchreid's: softmax + batch-hard triplet
    cfg.loss.triplet.margin = 0.3  # of loss.mso's weight_tri and weight_hctri too
    cfg.loss.triplet.weight_t = 1.0
    cfg.loss.triplet.weight_x = 1.0
    cfg.loss.mso = CN()  # a loss of weight 0 is not computed
    cfg.loss.mso.weight_id = 1.0
    cfg.loss.mso.weight_wrt = 1.0
    cfg.loss.mso.weight_pef = 1.0
    cfg.loss.mso.weight_cmcc = 1.0
    cfg.loss.mso.weight_wrt_sq = 0.0  # weighted triplet with CAJ's squared difference
    cfg.loss.mso.weight_tri = 0.0  # batch-hard triplet, torchreid's own
    cfg.loss.mso.weight_hctri = 0.0  # hetero-center triplet
    for own in LOSSES:  # register_loss
        cfg.loss.mso[f"weight_{own}"] = 0.0
    cfg.loss.pef = CN()
    cfg.loss.pef.entry = "image"  # how Layer0's maps enter VGG-16: image, conv2
    cfg.loss.pef.weights = "imagenet"  # of VGG-16: imagenet, random
    cfg.loss.pef.normalize = True  # maps and edges to [0, 1] per image before VGG
    cfg.loss.cmcc = CN()
    cfg.loss.cmcc.form = "soft_margin"  # soft_margin, ratio
    cfg.loss.cmcc.normalize = True  # on the L2-normalised features

    cfg.test = CN()
    cfg.test.batch_size = 64
    cfg.test.dist_metric = "cosine"  # cosine, euclidean
    cfg.test.normalize_feature = False
    cfg.test.query = "ir"  # the modality that asks: ir, rgb
    cfg.test.sampling = "official"  # how SYSU-MM01's galleries are drawn: official, agw
    cfg.test.feature = "bn"  # after batch normalisation: bn, before it: pooled
    cfg.test.flip = False  # add the mirrored image's feature
    cfg.test.rerank = False  # score once more with k-reciprocal re-ranking, after the last epoch or when only testing
    cfg.test.rerank_settings = [20, 6, 0.3]  # k1, k2, lambda
    cfg.test.evaluate = False  # test only
    cfg.test.eval_freq = -1  # test every so many epochs; -1: after the last
    cfg.test.start_eval = 0
    cfg.test.visrank = False  # pictures of ranked results, with test.evaluate True
    cfg.test.visrank_topk = 10
    return cfg


CHOICES = {
    "data.type": ("image",),
    "data.cache": ("none", "ram", "disk"),
    "train.amp": ("off", "bf16", "fp16"),
    "train.optim": ("adam", "amsgrad", "sgd", "rmsprop", "radam"),
    "train.lr_scheduler": ("warmup_multi_step", "warmup_cosine", "single_step", "multi_step", "cosine"),
    "train.on_nonfinite": ("stop", "skip"),
    "loss.name": ("mso", "softmax", "triplet"),
    "loss.pef.entry": ("image", "conv2"),
    "loss.pef.weights": ("imagenet", "random"),
    "loss.cmcc.form": ("soft_margin", "ratio"),
    "test.dist_metric": ("cosine", "euclidean"),
    "test.query": ("ir", "rgb"),
    "test.sampling": ("official", "agw"),
    "test.feature": ("bn", "pooled"),
}

POSITIVE = (
    *("sampler.num_instances", "model.last_stride", "train.batch_size", "train.lr", "train.gamma", "train.print_freq"),
    *("train.max_epoch", "train.checkpoint_freq", "train.keep_checkpoints", "train.max_skipped", "train.accumulate"),
    *("test.batch_size", "test.visrank_topk"),
)

# Key: smallest and largest value, both allowed.
RANGES = {
    "data.height": (8, math.inf),
    "data.width": (8, math.inf),
    "data.workers": (0, math.inf),
    "data.split_id": (0, math.inf),
    "sampler.batches_per_epoch": (0, math.inf),
    "train.seed": (0, 2**32 - 1),
    "train.weight_decay": (0, math.inf),
    "train.warmup_epoch": (0, math.inf),
    "train.fixbase_epoch": (0, math.inf),
    "train.start_epoch": (0, math.inf),
    "train.target_loss": (0, math.inf),
    "train.base_lr_mult": (0, math.inf),
    "train.ema": (0, 0.999999),
    "adam.beta1": (0, 0.999999),
    "adam.beta2": (0, 0.999999),
    "loss.triplet.margin": (0, math.inf),
    "loss.triplet.weight_t": (0, math.inf),
    "loss.triplet.weight_x": (0, math.inf),
    "loss.mso.weight_id": (0, math.inf),
    "loss.mso.weight_wrt": (0, math.inf),
    "loss.mso.weight_pef": (0, math.inf),
    "loss.mso.weight_cmcc": (0, math.inf),
    "loss.mso.weight_wrt_sq": (0, math.inf),
    "loss.mso.weight_tri": (0, math.inf),
    "loss.mso.weight_hctri": (0, math.inf),
}


def load(file: str = "") -> CN:
    """The defaults, changed by a yaml file.

    Args:
        file: a path, or the name of a shipped configuration ("quickstart", "mso_sysu"); "" for none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file that is no yaml, an unknown key, a value of the wrong type; names the key and the nearest one that exists.
    """
    cfg = defaults()
    if file:
        path = find(file)
        try:
            changes = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except NOT_YAML as error:
            raise ValueError(f"{path} is not yaml: {' '.join(str(error).split())}") from None
        if not isinstance(changes, dict):
            raise ValueError(
                f"{path} is not a configuration: expected sections such as `train:`, got {type(changes).__name__}"
            )
        for key, value in _flat(changes):
            _set(cfg, key, value, where=f"{path}: ")
    return cfg


def override(cfg: CN, overrides: Sequence[str]) -> CN:
    """Changes `cfg` in place by `KEY VALUE` pairs, as words of a command line.

    Args:
        overrides: ["train.lr", "0.01", ...].

    Raises:
        ValueError: an unknown key, a value of the wrong type, a word without its partner.

    >>> cfg = override(defaults(), ["train.lr", "0.01", "data.sources", "regdb"])
    >>> cfg.train.lr, cfg.data.sources
    (0.01, ['regdb'])
    >>> override(cfg, ["train.lrate", "0.1"])
    Traceback (most recent call last):
    ValueError: unknown configuration key train.lrate, did you mean train.lr?
    """
    if len(overrides) % 2:
        raise ValueError(f"configuration overrides come in pairs KEY VALUE, got {' '.join(overrides)}")
    for key, text in zip(overrides[::2], overrides[1::2], strict=True):
        try:
            value = yaml.safe_load(text)
        except NOT_YAML:
            value = text
        _set(cfg, key, value, where="")
    return cfg


def find(file: str) -> Path:
    """The path of a configuration file, or of a shipped one by its name.

    Raises:
        FileNotFoundError: there is none; lists the shipped ones.
        ValueError: not a yaml file (a Python one would be executed).
    """
    path = Path(file).expanduser()
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
    elif path.suffix:
        raise ValueError(f"{file} is not a .yaml file: a configuration is yaml")
    for shipped in _shipped():
        if shipped.stem == file:
            return shipped
    raise FileNotFoundError(
        f"no configuration {file}: give a .yaml file or one of {', '.join(sorted(p.stem for p in _shipped()))}"
    )


def check(cfg: CN) -> None:
    """Refuses values that cannot work, before anything is built.

    Raises:
        ValueError: names the key, its value and what it takes.
    """
    for key, choices in CHOICES.items():
        if _get(cfg, key) not in choices:
            raise ValueError(f"{key} is {_get(cfg, key)!r}: choose from {', '.join(choices)}")
    for key in POSITIVE:
        if not 0 < _get(cfg, key) < math.inf:
            raise ValueError(f"{key} is {_get(cfg, key)}: it must be a number above 0")
    for key, (low, high) in RANGES.items():
        if not low <= _get(cfg, key) <= high or math.isinf(_get(cfg, key)):
            raise ValueError(
                f"{key} is {_get(cfg, key)}: it must be {low} {'or more' if high == math.inf else f'to {high}'}"
            )
    small = min(cfg.data.height, cfg.data.width)
    if small < 32 and cfg.loss.name == "mso" and cfg.loss.mso.weight_pef:
        raise ValueError(
            f"images of {cfg.data.height}x{cfg.data.width} are too small for VGG in the perceptual edge loss: 32 at least"
        )
    for key in ("data.norm_mean", "data.norm_std"):
        values = _get(cfg, key)
        if len(values) != 3 or not all(math.isfinite(v) and (v > 0 or key.endswith("mean")) for v in values):
            raise ValueError(
                f"{key} is {values}: give three numbers, one a channel{'' if key.endswith('mean') else ', above 0'}"
            )
    if cfg.train.start_epoch >= cfg.train.max_epoch:
        raise ValueError(
            f"train.start_epoch is {cfg.train.start_epoch} of {cfg.train.max_epoch} epochs: nothing is left to train, raise train.max_epoch"
        )
    if not cfg.data.save_dir:
        raise ValueError("data.save_dir is empty: name the folder of the run, such as log/mso")
    weights = {"mso": cfg.loss.mso, "triplet": {k: v for k, v in cfg.loss.triplet.items() if k != "margin"}}
    if not any(weights.get(cfg.loss.name, {"id": 1}).values()):
        raise ValueError(f"every weight under loss.{cfg.loss.name} is 0: there is nothing to train for")
    if not cfg.data.sources:
        raise ValueError("data.sources is empty: name a data set (-s sysu_mm01)")
    k1, k2, weight = cfg.test.rerank_settings if len(cfg.test.rerank_settings) == 3 else (0, 0, 0)
    if k1 < 1 or k2 < 1 or k1 % 1 or k2 % 1 or not 0 <= weight <= 1:
        raise ValueError(
            f"test.rerank_settings is {cfg.test.rerank_settings}: give k1, k2 and lambda, two whole numbers and a share, such as [20, 6, 0.3]"
        )
    if cfg.test.visrank and not cfg.test.evaluate:
        raise ValueError(
            "test.visrank draws pictures of a trained model: set test.evaluate True and model.load_weights"
        )
    if cfg.model.load_weights and cfg.model.resume not in ("", "auto"):
        raise ValueError(
            "model.load_weights and model.resume are both set: resume continues a run, load_weights starts one"
        )
    if cfg.test.evaluate and not (cfg.model.load_weights or cfg.model.resume):
        raise ValueError(
            "test.evaluate True without weights would score an untrained network: set model.load_weights CHECKPOINT"
        )
    for key, path in (("load_weights", cfg.model.load_weights), ("resume", cfg.model.resume)):
        elsewhere = path == "auto" if key == "resume" else is_remote(path)
        if path and not elsewhere and not Path(path).expanduser().is_file():
            raise FileNotFoundError(
                f"model.{key} {path} is missing: give the path of a checkpoint (model/model.pth.tar-EPOCH)"
            )


def differences(one: CN, other: CN) -> list[str]:
    """The keys whose values differ."""
    return [key for key in _keys(one) if _get(one, key) != _get(other, key)]


def _shipped() -> list[Path]:
    # Beside the modules in an installed package, beside the package in a checkout.
    return [*(PACKAGE / "configs").glob("*.yaml"), *(PACKAGE.parent / "configs").glob("*.yaml")]


def _flat(tree: dict, prefix: str = ""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _keys(cfg: CN) -> list[str]:
    return [key for key, _ in _flat(cfg)]


def _get(cfg: CN, key: str):
    for part in key.split("."):
        cfg = cfg[part]
    return cfg


def _set(cfg: CN, key: str, value, where: str) -> None:
    known = _keys(cfg)
    if key not in known:
        close = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
        hint = f", did you mean {close[0]}?" if close else f": the keys are in {PACKAGE / 'config.py'}"
        raise ValueError(f"{where}unknown configuration key {' '.join(key.split())}{hint}")
    section, _, name = key.rpartition(".")
    node, old = _get(cfg, section), _get(cfg, key)
    if isinstance(old, list):
        value = _list(
            key, value if isinstance(value, list) else [value], old, where
        )  # torchreid's command line: a list of one is a word
    if isinstance(old, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if isinstance(old, float) and isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)  # yaml reads 5e-4 as text
    if isinstance(old, str) and value is False:
        value = "off"  # yaml reads that word as False
    if isinstance(old, str) and value is None:
        value = ""
    if isinstance(old, str) and isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if type(value) is not type(old):
        raise ValueError(f"{where}{key} is {value!r}: expected {_kind(old)}, such as {old!r}")
    node[name] = value


def _list(key: str, values: list, old: list, where: str) -> list:
    """`values`, whole numbers where the default has them, numbers, or text (data.targets is empty by default)."""
    kinds = {type(value) for value in old} or {str}
    accepted: dict[type, type | tuple] = {str: str, int: int, float: (int, float)}
    kind = max(kinds, key=lambda k: k is float)
    plural = {str: "texts", int: "whole numbers", float: "numbers"}[kind]
    if not all(isinstance(value, accepted[kind]) and not isinstance(value, bool) for value in values):
        raise ValueError(f"{where}{key} is {values!r}: expected a list of {plural}, such as {old!r}")
    return values


def _kind(value) -> str:
    return {bool: "True or False", int: "a whole number", float: "a number", list: "a list", str: "text"}[type(value)]
