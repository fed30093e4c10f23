"""Every configuration key with its default value, which is the patent's setting, and the values that it takes."""

import math

from yacs.config import CfgNode as CN

from torchreid_rgbir.data import SAMPLERS
from torchreid_rgbir.data.images import parse_ir_range
from torchreid_rgbir.losses import LOSSES, Option
from torchreid_rgbir.modality import NAMES


def defaults() -> CN:
    """Returns all keys with their default values. A yaml file or `KEY VALUE` pairs change them."""
    cfg = CN()

    cfg.model = CN()
    cfg.model.name = "dual_resnet50"  # a name in models.MODELS, or any model of torchreid
    cfg.model.pretrained = True  # ImageNet weights, downloaded once; or a file with weights
    cfg.model.last_stride = 1  # stride of Layer4, or of the last stage of a network from timm
    cfg.model.pooling = "auto"  # for networks from timm: token, mean, gem; auto: what suits the network
    cfg.model.drop_path = 0.0  # for networks from timm: the rate of stochastic depth in the last block
    # the checkpoint to start from or to test: a path, URL or Google Drive id (#sha256=...)
    cfg.model.load_weights = ""
    cfg.model.allow_partial = False  # allow load_weights to lack more than the classifier
    cfg.model.resume = ""  # the checkpoint to continue from; auto: the newest good one in data.save_dir, if any

    cfg.data = CN()
    cfg.data.type = "image"  # the only value; torchreid also has video
    cfg.data.root = "reid-data"  # a folder, or an archive, which is unpacked next to itself
    cfg.data.sources = ["sysu_mm01"]
    cfg.data.targets = []  # empty: the sources
    cfg.data.workers = 4
    cfg.data.split_id = 0  # RegDB: 0-9 are the official splits 1-10
    cfg.data.height = 288
    cfg.data.width = 144
    cfg.data.combineall = False  # train on the test images too
    cfg.data.transforms = ["pad_crop", "random_flip"]
    cfg.data.transforms_rgb = []  # more transforms, for RGB images only
    cfg.data.transforms_ir = []  # more transforms, for IR images only
    cfg.data.transforms_rgb2 = []  # with names: a second view of each RGB image, with transforms and these
    cfg.data.cache = "none"  # where training keeps decoded images: none, ram, disk
    cfg.data.cache_dir = ""  # the folder for disk; empty: .decoded in data.root
    cfg.data.norm_mean = [0.485, 0.456, 0.406]
    cfg.data.norm_std = [0.229, 0.224, 0.225]
    # the gray values that become black and white in files of more than 8 bits: auto, dtype or LOW,HIGH
    cfg.data.ir_range = "auto"
    cfg.data.ir = "nir"  # the infrared spectrum of data sets with two, such as msvr310: nir, tir
    cfg.data.skip_broken = False  # skip images that cannot be read, instead of stopping with an error
    cfg.data.save_dir = "log"

    cfg.sampler = CN()
    cfg.sampler.name = (
        "pk"  # how batches are sampled: pk, agw (with replacement), luckydc, mcja (modalities not balanced)
    )
    # K, images per identity and modality; P = train.batch_size / 2K identities. With mcja: per identity, P = batch_size / K
    cfg.sampler.num_instances = 4
    cfg.sampler.batches_per_epoch = 0  # 0: one pass, on average, over the larger modality
    cfg.sampler.balance = "size"  # identities of several data.sources in a batch: size (in proportion), equal

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
    cfg.train.layer_decay = 1.0  # the learning rate of a layer over that of the layer behind it; 1: all are equal
    cfg.train.new_layers = ["classifier"]
    cfg.train.base_lr_mult = 0.1
    cfg.train.lr_scheduler = "warmup_multi_step"  # warmup_multi_step, warmup_cosine, or one of torchreid
    cfg.train.warmup_epoch = 10  # the number of epochs in which the learning rate rises to train.lr
    cfg.train.warmup_start = 0.1  # the share of train.lr in the first of them
    cfg.train.stepsize = [20, 25, 30]
    cfg.train.gamma = 0.1
    cfg.train.target_loss = 0.0  # training ends after an epoch whose mean loss is not above this value; 0: never
    cfg.train.amp = "off"  # mixed precision: bf16, fp16 (with a gradient scaler), off
    cfg.train.accumulate = 1  # the number of batches whose gradients are averaged for one step
    cfg.train.ema = 0.0  # the decay of averaged weights, such as 0.999, which are then tested and saved; 0: none
    # with torch.compile: True compiles the backbone, step the complete forward and backward pass with the losses
    cfg.train.compile = False
    cfg.train.gather_features = False  # with torchrun: losses that compare images use the batch of all processes
    cfg.train.sync_batchnorm = False  # with torchrun: batch normalization over all processes
    cfg.train.print_freq = 20
    cfg.train.checkpoint_freq = 1  # the number of epochs between two checkpoints; each test writes one, too
    cfg.train.keep_checkpoints = 2  # the number of newest checkpoints to keep, besides the best one
    cfg.train.on_nonfinite = "stop"  # when a loss or gradient is not finite: stop the run, or skip the batch
    cfg.train.max_skipped = 10  # the number of batches that a run may skip
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
    cfg.loss.name = "mso"  # mso for dual_resnet, softmax or triplet for torchreid's models
    cfg.loss.softmax = CN()
    cfg.loss.softmax.label_smooth = False  # also for loss.mso.weight_id
    cfg.loss.triplet = CN()  # torchreid's sum of softmax and batch-hard triplet loss
    cfg.loss.triplet.margin = 0.3  # also for loss.mso.weight_tri and weight_hctri
    cfg.loss.triplet.weight_t = 1.0
    cfg.loss.triplet.weight_x = 1.0
    cfg.loss.mso = CN()
    for name, loss in LOSSES.items():  # a loss of weight 0 is not computed
        cfg.loss.mso[f"weight_{name}"] = loss.weight
        for key, option in loss_options(name).items():
            section, _, last = key.rpartition(".")
            node = cfg
            for part in section.split("."):
                node[part] = node.get(part, CN())
                node = node[part]
            node[last] = option.default

    cfg.test = CN()
    cfg.test.batch_size = 64
    cfg.test.dist_metric = "cosine"  # cosine, euclidean
    cfg.test.normalize_feature = False
    cfg.test.query = "ir"  # the modality of the queries: ir, rgb
    cfg.test.sampling = "official"  # how SYSU-MM01's galleries are sampled: official, agw
    cfg.test.feature = "bn"  # bn: after batch normalization; pooled: before it
    cfg.test.flip = False  # add the feature of the mirrored image
    cfg.test.rerank = False  # score again with k-reciprocal re-ranking, after the last epoch or when only testing
    cfg.test.rerank_settings = [20, 6, 0.3]  # k1, k2, lambda
    # score again with corrupted images (none, rgb, ir, both), after the last epoch or when only testing
    cfg.test.corruption = "none"
    cfg.test.corruption_seed = 0  # of the corruptions; not that of the training
    cfg.test.corruption_repeats = 10  # the number of repetitions with different corruptions, which are averaged
    cfg.test.evaluate = False  # test only
    cfg.test.eval_freq = -1  # the number of epochs between two tests; -1: test only after the last epoch
    cfg.test.start_eval = 0
    cfg.test.save_features = False  # write the features and the scores of each query after the last test
    cfg.test.visrank = False  # draw ranked results, with test.evaluate True
    cfg.test.visrank_topk = 10
    return cfg


def loss_options(name: str) -> dict[str, Option]:
    """Returns the options of a registered loss by configuration key."""
    return {option.key or f"loss.{name}.{short}": option for short, option in LOSSES[name].options.items()}


CHOICES = {
    "model.pooling": ("auto", "token", "mean", "gem"),
    "data.type": ("image",),
    "data.cache": ("none", "ram", "disk"),
    "data.ir": ("nir", "tir"),
    "sampler.name": tuple(SAMPLERS),
    "sampler.balance": ("size", "equal"),
    "train.amp": ("off", "bf16", "fp16"),
    "train.compile": (False, True, "step"),
    "train.optim": ("adam", "amsgrad", "sgd", "rmsprop", "radam"),
    "train.lr_scheduler": ("warmup_multi_step", "warmup_cosine", "single_step", "multi_step", "cosine"),
    "train.on_nonfinite": ("stop", "skip"),
    "loss.name": ("mso", "softmax", "triplet"),
    "test.dist_metric": ("cosine", "euclidean"),
    "test.query": ("ir", "rgb"),
    "test.sampling": ("official", "agw"),
    "test.feature": ("bn", "pooled"),
    "test.corruption": ("none", *NAMES, "both"),
}

POSITIVE = (
    *("sampler.num_instances", "model.last_stride", "train.batch_size", "train.lr", "train.gamma", "train.print_freq"),
    *("train.max_epoch", "train.checkpoint_freq", "train.keep_checkpoints", "train.max_skipped", "train.accumulate"),
    *("test.batch_size", "test.visrank_topk", "test.corruption_repeats"),
)

# key: a function that refuses what is not allowed
PARSERS = {"data.ir_range": parse_ir_range}

# key: the smallest and the largest value
RANGES = {
    "data.height": (8, math.inf),
    "data.width": (8, math.inf),
    "data.workers": (0, math.inf),
    "data.split_id": (0, math.inf),
    "sampler.batches_per_epoch": (0, math.inf),
    "train.seed": (0, 2**32 - 1),
    "test.corruption_seed": (0, 2**32 - 1),
    "train.weight_decay": (0, math.inf),
    "train.warmup_epoch": (0, math.inf),
    "train.warmup_start": (0, 1),
    "train.fixbase_epoch": (0, math.inf),
    "train.start_epoch": (0, math.inf),
    "train.target_loss": (0, math.inf),
    "train.base_lr_mult": (0, math.inf),
    "train.ema": (0, 0.999999),
    "train.layer_decay": (0.01, 1),
    "model.drop_path": (0, 0.9),
    "adam.beta1": (0, 0.999999),
    "adam.beta2": (0, 0.999999),
    "loss.triplet.margin": (0, math.inf),
    "loss.triplet.weight_t": (0, math.inf),
    "loss.triplet.weight_x": (0, math.inf),
}


def choices() -> dict[str, tuple]:
    """Returns the values of every key that takes one of a few texts, including the options of registered losses."""
    options = {key: option for name in LOSSES for key, option in loss_options(name).items()}
    return CHOICES | {key: option.values for key, option in options.items() if isinstance(option.default, str)}


def files() -> set[str]:
    """Returns the keys of registered losses that take the path of a file, besides the texts in `choices`."""
    return {key for name in LOSSES for key, option in loss_options(name).items() if option.file}


def ranges() -> dict[str, tuple[float, float]]:
    """Returns the smallest and the largest value of every key with a range, including those of registered losses."""
    options = {key: option for name in LOSSES for key, option in loss_options(name).items()}
    found = {f"loss.mso.weight_{name}": (0, math.inf) for name in LOSSES}
    limits = {key: option.values for key, option in options.items() if not isinstance(option.default, (bool, str))}
    return RANGES | found | limits
