"""A network a thousand times smaller than ResNet-18, for tests that need many complete runs but no learning."""

from types import SimpleNamespace

from torch import nn
from torchvision.models.resnet import BasicBlock

from torchreid_rgbir import config
from torchreid_rgbir.models import DualResNet

SETTINGS = [
    *(
        "data.height",
        "32",
        "data.width",
        "16",
        "data.workers",
        "0",
        "train.batch_size",
        "8",
        "sampler.num_instances",
        "2",
    ),
    *("sampler.batches_per_epoch", "3", "train.max_epoch", "2", "train.warmup_epoch", "1", "train.print_freq", "2"),
    *("loss.mso.weight_pef", "0", "test.eval_freq", "1", "test.sampling", "agw"),
]


def tiny_resnet(num_classes, loss="softmax", pretrained=False, use_gpu=False, last_stride=1):
    def block(width, stride):
        half = nn.Sequential(nn.Conv2d(8, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        return nn.Sequential(BasicBlock(8, width, stride, half))

    parts = dict(
        conv1=nn.Conv2d(3, 8, 3, 2, 1, bias=False), bn1=nn.BatchNorm2d(8), relu=nn.ReLU(), maxpool=nn.MaxPool2d(2)
    )
    layers = dict(layer1=block(8, 1), layer2=block(8, 2), layer3=block(8, 2), layer4=block(16, 1))
    model = DualResNet(SimpleNamespace(**parts, **layers, fc=nn.Linear(16, 1)), num_classes, loss, last_stride)
    model.name = "dual_resnet18"
    return model


def configuration(root, save_dir, *words):
    """Returns the quick start's configuration with the settings above."""
    changes = [*SETTINGS, "data.root", str(root), "data.save_dir", str(save_dir), *map(str, words)]
    return config.override(config.load("quickstart"), changes)
