"""The methods that `compare` and `ablation` train, and the questions that docs/results.md answers with them.

This module imports nothing heavy, because the flags of both commands list them.
"""

from typing import NamedTuple

# Ablation: the losses that remain. All others get weight 0.
ABLATIONS = {
    name: [f"weight_{loss}" for loss in name.split("+")] for name in ("id", "id+wrt", "id+wrt+pef", "id+wrt+cmcc")
}
METHODS = ("mso", *ABLATIONS, "resnet50:softmax", "resnet50:triplet", "osnet_x1_0:softmax")


class Start(NamedTuple):
    """A network that `configs/start.yaml` trains to classify synthetic people who appear in no other experiment.

    Attributes:
        model: the network, one of torchreid's.
        data: the people, one of `ingredients.DATA`.
        words: `KEY VALUE` words on top of start.yaml.
    """

    model: str
    data: str = "others"
    words: str = ""


# In the words and methods below, a word that is the name of a start stands for the file with its weights.
STARTS = {
    "resnet18": Start("resnet18"),
    "osnet_x0_25": Start("osnet_x0_25", words="train.max_epoch 12"),
    # Fewer images, because this network is five times as slow.
    "vgg16_bn": Start("vgg16_bn", words="train.batch_size 32 train.lr 0.0003 train.max_epoch 16"),
    # From people in good conditions alone, nothing is learned about `rgbir_synthetic` in 400 batches.
    "resnet18_hard": Start("resnet18", "hard_others", "model.load_weights resnet18"),
    "osnet_x0_25_hard": Start("osnet_x0_25", "hard_others", "model.load_weights osnet_x0_25"),
}


class Setting(NamedTuple):
    """What all methods of a question share.

    Attributes:
        data: the data set, one of `ingredients.DATA`.
        words: `KEY VALUE` words on top of each method's configuration.
        seconds: about what a run takes on one thread of a Xeon with AVX-512. It is for the estimate before the first run.
    """

    data: str
    words: str
    seconds: int


_SHARED = (
    "data.workers 0 data.cache disk train.amp off train.ema 0 train.print_freq 10 train.checkpoint_freq 1000 "
    "train.batch_size 64 sampler.batches_per_epoch 10 test.batch_size 256 test.eval_freq -1 test.flip False"
)
_TRAINED_VGG = "loss.pef.weights vgg16_bn"
_RESNET = f"{_SHARED} data.height 64 data.width 32 model.name dual_resnet18 model.last_stride 2"
_LITE0 = f"{_SHARED} data.height 96 data.width 48 model.name dual_efficientnet_lite0 model.pretrained True"
_HARD = f"{_RESNET} train.max_epoch 40 model.pretrained resnet18_hard loss.pef.weights random"
SETTINGS = {
    "resnet18": Setting("people", f"{_RESNET} train.max_epoch 30 model.pretrained resnet18 {_TRAINED_VGG}", 100),
    "lite0": Setting("people", f"{_LITE0} train.max_epoch 30 loss.pef.weights random", 200),
    "hard": Setting("hard", _HARD, 160),
    "hard_200": Setting("hard_200", _HARD, 160),
}


class Question(NamedTuple):
    """A question of the ablation, which has a section with this title.

    Attributes:
        title: of the section.
        methods: as `compare.configure` takes them. The first word may also be the name of a shipped configuration.
        references: the methods that the others are compared with. Each one gets a table.
        setting: a name in `SETTINGS`.
        num_seeds: the number of seeds, which are 1, 2 and so on.
        extra: "curves" tests every few epochs, and draws the losses and the mAP over the epochs; "reach" adds tables of each
            loss's gradients and of how far training moves the layers (`reach.tables`).
    """

    title: str
    methods: tuple[str, ...]
    references: tuple[str, ...]
    setting: str = "resnet18"
    num_seeds: int = 3
    extra: str = ""


_CMCC, _RANDOM = "id+wrt+cmcc", "loss.pef.weights random"
_PARTS = ("id", "id+wrt", _CMCC, "id+wrt+pef", f"id+wrt+pef {_RANDOM}", "mso", f"mso {_RANDOM}")
_COSINE = "train.lr_scheduler warmup_cosine train.warmup_epoch 3 train.lr"
_PATENT = "train.lr_scheduler warmup_multi_step train.warmup_epoch 10 train.lr 0.005"
# With the random VGG, because with the trained one PEF does harm, and would decide the comparison.
_SCHEDULES = tuple(
    f"mso {_RANDOM} {schedule}" for schedule in (_PATENT, *(f"{_COSINE} {rate}" for rate in (0.00035, 0.002, 0.005)))
)
# Recipes for ResNet-50 and images of 288 x 144 pixels, for the setting's network, images and number of epochs: without the
# random crop, whose padding of 10 pixels is a third of the small image's width, and with AGW's schedule of 81 epochs and CAJ's
# of 100 in proportion. At the published rate of 0.1, the identity loss of a trained ResNet rises here.
_SMALL = "model.name dual_resnet18 train.lr 0.03 train.warmup_epoch 4 train.stepsize"


def _agw(stepsize: str) -> str:
    return f"agw_sysu {_SMALL} {stepsize} data.transforms [random_flip]"


def _all_methods(stepsize: str, osnet: str, with_trained_vgg: str) -> tuple[str, ...]:
    return (
        f"mso {_RANDOM}",
        with_trained_vgg,
        f"mso_plus_sysu {_RANDOM} data.transforms [random_flip,random_erase]",
        _agw(stepsize),
        f"caj_sysu {_SMALL} {stepsize} data.transforms [random_flip,caj_erase]",
        "id",
        "resnet18:softmax",
        "resnet18:triplet",
        f"osnet_x0_25:softmax model.pretrained {osnet}",
        f"mso {_RANDOM} model.name dual_efficientnet_lite0 model.pretrained True",
    )


QUESTIONS = {
    "parts": Question("What each part adds", _PARTS, ("id", "id+wrt", _CMCC), num_seeds=5),
    "parts_lite0": Question("The same from ImageNet weights", ("id", "id+wrt", _CMCC, "mso"), ("id", _CMCC), "lite0"),
    "cmcc": Question(
        "Form and scale of the contrastive-center loss",
        (
            "id+wrt",
            _CMCC,
            f"{_CMCC} loss.cmcc.normalize False",
            f"{_CMCC} loss.cmcc.form ratio",
            f"{_CMCC} loss.cmcc.form ratio loss.cmcc.normalize False",
        ),
        ("id+wrt", _CMCC),
    ),
    "pef": Question(
        "Entry, scale and weight of the perceptual edge loss",
        (
            _CMCC,
            "mso",
            "mso loss.pef.entry conv2",
            "mso loss.pef.normalize False",
            *(f"mso loss.mso.weight_pef {weight}" for weight in (0.01, 0.1, 10.0, 100.0)),
        ),
        (_CMCC, "mso"),
        extra="reach",
    ),
    "augmentation": Question(
        "With and without gray-channel augmentation",
        tuple(f"{losses}{change}" for losses in ("mso", "id") for change in ("", " data.transforms [random_flip]")),
        ("mso", "id"),
    ),
    "schedule": Question("The patent's schedule, from a trained ResNet-18", _SCHEDULES, _SCHEDULES[:1], extra="curves"),
    "schedule_lite0": Question(
        "The patent's schedule, from ImageNet weights", _SCHEDULES, _SCHEDULES[:1], "lite0", extra="curves"
    ),
    "methods": Question(
        "All methods on the same people", _all_methods("[7,18]", "osnet_x0_25", "mso"), (f"mso {_RANDOM}", "id")
    ),
    "benchmark": Question(
        "All methods on one hard benchmark",
        _all_methods("[8,22]", "osnet_x0_25_hard", f"mso {_TRAINED_VGG}"),
        (f"mso {_RANDOM}", "id"),
        "hard",
    ),
    "people_200": Question(
        "A quarter of the training people", (f"mso {_RANDOM}", _agw("[8,22]")), (f"mso {_RANDOM}",), "hard_200", 2
    ),
}
