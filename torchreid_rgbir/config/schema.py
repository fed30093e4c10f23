"""Every configuration key with its default value (the patent's setting) and the values that it takes."""

import math

from yacs.config import CfgNode as CN

from torchreid_rgbir.losses import LOSSES, Option


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
    cfg.data.ir_range = "auto"  # gray values that become black and white in files of more than 8 bits: auto, dtype, LOW,HIGH
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
    cfg.train.sync_batchnorm = False  # torchrun: batch normalization over all processes
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
    cfg.loss.softmax.label_smooth = False  # also of loss.mso.weight_id
    cfg.loss.triplet = CN()  # torchreid's: softmax + batch-hard triplet
    cfg.loss.triplet.margin = 0.3  # also of loss.mso.weight_tri and weight_hctri
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
    cfg.test.query = "ir"  # the modality that asks: ir, rgb
    cfg.test.sampling = "official"  # how SYSU-MM01's galleries are drawn: official, agw
    cfg.test.feature = "bn"  # after batch normalization: bn, before it: pooled
    cfg.test.flip = False  # add the mirrored image's feature
    cfg.test.rerank = False  # score once more with k-reciprocal re-ranking, after the last epoch or when only testing
    cfg.test.rerank_settings = [20, 6, 0.3]  # k1, k2, lambda
    cfg.test.evaluate = False  # test only
    cfg.test.eval_freq = -1  # test every so many epochs; -1: after the last
    cfg.test.start_eval = 0
    cfg.test.visrank = False  # pictures of ranked results, with test.evaluate True
    cfg.test.visrank_topk = 10
    return cfg


def loss_options(name: str) -> dict[str, Option]:
    """The options of a registered loss, by configuration key."""
    return {option.key or f"loss.{name}.{short}": option for short, option in LOSSES[name].options.items()}


CHOICES = {
    "data.type": ("image",),
    "data.cache": ("none", "ram", "disk"),
    "train.amp": ("off", "bf16", "fp16"),
    "train.optim": ("adam", "amsgrad", "sgd", "rmsprop", "radam"),
    "train.lr_scheduler": ("warmup_multi_step", "warmup_cosine", "single_step", "multi_step", "cosine"),
    "train.on_nonfinite": ("stop", "skip"),
    "loss.name": ("mso", "softmax", "triplet"),
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

# key: the smallest and the largest value
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
}


def choices() -> dict[str, tuple]:
    """The values of every key that takes one of a few texts, those of registered losses among them."""
    options = {key: option for name in LOSSES for key, option in loss_options(name).items()}
    return CHOICES | {key: option.values for key, option in options.items() if isinstance(option.default, str)}


def ranges() -> dict[str, tuple[float, float]]:
    """The smallest and the largest value of every key that takes a number in a range, those of registered losses among them."""
    options = {key: option for name in LOSSES for key, option in loss_options(name).items()}
    found = {f"loss.mso.weight_{name}": (0, math.inf) for name in LOSSES}
    return RANGES | found | {key: option.values for key, option in options.items() if isinstance(option.default, float)}
