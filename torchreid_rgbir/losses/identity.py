"""Identity loss: cross entropy of the class scores."""

import torch.nn.functional as F
from torch import Tensor

from torchreid_rgbir.losses.registry import Option, register_loss
from torchreid_rgbir.models.batch import Batch, Outputs
from torchreid_rgbir.models.precision import full_precision

SMOOTHING = 0.1  # torchreid's label smoothing


@full_precision
def identity(logits: Tensor, pids: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross entropy of the class scores.  logits: (B, N); pids: (B,).  Returns a scalar, the mean over B."""
    return F.cross_entropy(logits, pids, label_smoothing=smoothing)


def identity_loss(outputs: Outputs, batch: Batch, label_smooth: bool) -> Tensor:
    """`identity` of a batch, on request with torchreid's label smoothing."""
    return identity(outputs.logits, batch.pids, SMOOTHING if label_smooth else 0.0)


register_loss(
    "id",
    identity_loss,
    weight=1.0,
    options={"label_smooth": Option(False, key="loss.softmax.label_smooth")},
    compares_images=False,
    help="identity loss",
)
