"""Runs AGW's unmodified train.py on a CPU, up to an epoch. It is started in the folder of their code.

    python agw_script.py LAST_EPOCH PADDING WEIGHTS [arguments of train.py]

Their script needs a GPU, tensorboardX, an old version of Pillow, and a download of ImageNet weights. What follows stands in for
them. The random crop pads PADDING pixels instead of 10, because the images are small. After the test of epoch LAST_EPOCH, counted
from 0, the weights are written to WEIGHTS in the format of their checkpoints.
"""

import runpy
import sys
import types
import warnings

import torch
import torch.utils.model_zoo
import torchvision
from PIL import Image

last_epoch, padding, weights, *arguments = sys.argv[1:]


class SummaryWriter:
    """Stands in for tensorboardX's, which their script calls with each score."""

    def __init__(self, folder):
        pass

    def add_scalar(self, name, value, epoch):
        if name == "mAP_att":
            print(f"epoch {epoch}: mAP {value:.4f}", file=sys.__stderr__, flush=True)
        if (name, epoch) == ("mINP_att", int(last_epoch)):  # the last score of a test
            script = sys._getframe(1).f_globals
            torch.save({"net": script["net"].state_dict(), "epoch": epoch}, weights)
            raise SystemExit


sys.modules["tensorboardX"] = types.SimpleNamespace(SummaryWriter=SummaryWriter)
Image.ANTIALIAS = Image.Resampling.LANCZOS
torch.Tensor.cuda = lambda self, *args, **kwargs: self
torchvision.transforms.Pad = lambda _, pad=torchvision.transforms.Pad: pad(int(padding))
torch.utils.model_zoo.load_url = lambda url: torchvision.models.resnet50().state_dict()
warnings.simplefilter("ignore")  # of old forms of torch's functions
sys.path.insert(0, ".")
sys.argv = ["train.py", *arguments]
# Their script prints `best_epoch`, which it does not define before a test has a Rank-1 above 0.
runpy.run_path("train.py", {"best_epoch": 0}, run_name="__main__")
