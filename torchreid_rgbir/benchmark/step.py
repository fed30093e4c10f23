"""Training steps against each other: the method with and without its parts, torchreid's own step, the usual edge loss."""

import resource
import sys
from collections.abc import Callable
from statistics import median
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from torchreid_rgbir import host
from torchreid_rgbir.benchmark.timing import interleave, medians, pair_ratios, spread
from torchreid_rgbir.engine.guard import NonFiniteGuard
from torchreid_rgbir.engine.step import TrainingStep
from torchreid_rgbir.losses import MSOLoss, PerceptualEdgeLoss, contrastive_center, edge_map, weighted_triplet
from torchreid_rgbir.losses.vgg import VGGStages
from torchreid_rgbir.models import MODELS, Batch
from torchreid_rgbir.models.dual_resnet import set_stride
from torchreid_rgbir.models.precision import unit_length

NUM_CLASSES = 395  # SYSU-MM01's training identities
PER_ID = 4  # images per identity and modality, K


def step(
    height: int = 288,
    width: int = 144,
    batch_size: int = 64,
    rounds: int = 5,
    model: str = "dual_resnet50",
    threads: int = 2,
) -> dict[str, dict]:
    """Times training steps on the GPU, or on the CPU if there is none. Every round runs all of them in turn.

    A busy machine then slows all of them alike. The model runs channels-last, as in training. VGG's weights are random, which
    cost the same time as ImageNet's. On a GPU, mixed precision and compilation are timed as well.

    Args:
        height, width: of the images.
        batch_size: P x 2K with K = 4: a multiple of 8, at least 16.
        rounds: how often each candidate is timed.
        model: a name in `MODELS`.
        threads: torch's threads during the measurement.

    Returns:
        'ratios', each the median over the rounds of a ratio within one round:
        step_over_torchreid: id + WRT + CMCC over torchreid's softmax + triplet step with its ResNet of that depth.
        pef_image_over_without, pef_conv2_over_without: all four losses over id + WRT + CMCC.
        cmcc_wrt_over_id: id + WRT + CMCC over the same without WRT's and CMCC's time. Their time is measured separately, since the
        difference of two steps is too noisy.
        naive_pef_over_ours: the edge loss alone, forward and backward, `naive_perceptual_edge` over ours.
        channels_last_gain: id + WRT + CMCC with contiguous memory over channels-last.
        bf16_gain, compile_gain (GPU only): id + WRT + CMCC over the same in bfloat16, and over that compiled.
        'medians': seconds of each candidate; "forward" extracts the features of a batch. 'spread': the smallest and the largest
        of each ratio. 'images_per_second': of "forward". 'memory': the largest number of bytes in use, of the GPU or the process.

    Raises:
        ValueError: the batch size is not a multiple of 8 or has only one identity, or the model is unknown.
    """
    if batch_size % (2 * PER_ID) or batch_size < 4 * PER_ID:
        raise ValueError(f"batch size is {batch_size}: expected a multiple of {2 * PER_ID}, at least {4 * PER_ID}")
    if model not in MODELS:
        raise ValueError(f"model {model!r} is unknown: choose from {', '.join(MODELS)}")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        seconds = interleave(_candidates(height, width, batch_size, model), rounds)
    finally:
        torch.set_num_threads(before)
    pairs = {
        "step_over_torchreid": ("id_wrt_cmcc", "torchreid"),
        "pef_image_over_without": ("pef_image", "id_wrt_cmcc"),
        "pef_conv2_over_without": ("pef_conv2", "id_wrt_cmcc"),
        "naive_pef_over_ours": ("naive_pef_alone", "pef_alone"),
        "channels_last_gain": ("id_wrt_cmcc_contiguous", "id_wrt_cmcc"),
    }
    if "id_wrt_cmcc_bf16" in seconds:
        pairs |= {
            "bf16_gain": ("id_wrt_cmcc", "id_wrt_cmcc_bf16"),
            "compile_gain": ("id_wrt_cmcc_bf16", "id_wrt_cmcc_compiled"),
        }
    ratios = {name: pair_ratios(seconds, above, below) for name, (above, below) in pairs.items()}
    shares = pair_ratios(seconds, "wrt_cmcc_alone", "id_wrt_cmcc")
    ratios["cmcc_wrt_over_id"] = [1 / (1 - share) for share in shares]
    return {
        "ratios": {name: median(values) for name, values in ratios.items()},
        "medians": medians(seconds),
        "spread": {name: spread(values) for name, values in ratios.items()},
        "images_per_second": {"forward": batch_size / median(seconds["forward"])},
        "memory": {"steps_peak": _peak_memory()},
    }


def naive_perceptual_edge(maps: Tensor, images: Tensor, num_rgb: int, vgg: VGGStages) -> Tensor:
    """The edge loss in its most direct form: one pass for each modality's maps and one for its edges.

    Args:
        maps: (B, C, h, w) from Layer0, the RGB half first.
        images: (B, 3, H, W) in [0, 1].
        num_rgb: 1 to B - 1.
        vgg: the stages.

    Returns:
        The same scalar as `PerceptualEdgeLoss`.
    """
    total = maps.new_zeros(())
    for half in (slice(None, num_rgb), slice(num_rgb, None)):
        edges = edge_map(images[half], (maps.shape[2], maps.shape[3])).repeat(1, vgg.first.in_channels, 1, 1)
        for found, target in zip(vgg(maps[half]), vgg(edges), strict=True):
            total = total + nn.functional.mse_loss(found, target)
    return total


def _candidates(height: int, width: int, batch_size: int, model: str) -> dict[str, Callable[[], object]]:
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    num_rgb, num_ids = batch_size // 2, batch_size // (2 * PER_ID)
    pids = torch.arange(num_ids).repeat_interleave(PER_ID).repeat(2).to(device)
    batch = Batch(torch.rand(batch_size, 3, height, width, device=device), pids, num_rgb, num_ids)
    plain = MSOLoss(weight_pef=0)
    pef_image, pef_conv2 = (MSOLoss(pef_entry=entry, pef_weights="random").to(device) for entry in ("image", "conv2"))

    ours = OurStep(model, batch)
    contiguous = OurStep(model, batch, torch.contiguous_format)

    maps = torch.rand(batch_size, 64, height // 4, width // 4, device=device).contiguous(
        memory_format=torch.channels_last
    )
    naive_vgg = VGGStages("image", "random").requires_grad_(True).to(device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    our_vgg = PerceptualEdgeLoss("image", "random").to(device)

    features = torch.randn(batch_size, MODELS[model](1, pretrained=False).feature_dim, device=device)

    def wrt_cmcc(leaf: Tensor) -> Tensor:
        unit = unit_length(leaf)
        return weighted_triplet(unit, pids) + contrastive_center(unit, num_ids)

    candidates: dict[str, Callable[[], object]] = {
        "torchreid": _torchreid_step(model, batch),
        "id_wrt_cmcc": lambda: ours(plain),
        "pef_image": lambda: ours(pef_image),
        "pef_conv2": lambda: ours(pef_conv2),
        "id_wrt_cmcc_contiguous": lambda: contiguous(plain),
        "wrt_cmcc_alone": lambda: _alone(wrt_cmcc, features),
        "pef_alone": lambda: _alone(lambda leaf: our_vgg(leaf, batch.images, num_rgb), maps),
        "naive_pef_alone": lambda: _alone(
            lambda leaf: naive_perceptual_edge(leaf, batch.images, num_rgb, naive_vgg), maps.contiguous()
        ),
        "forward": ours.forward,
    }
    if device.type == "cuda":
        half, compiled = OurStep(model, batch, amp="bf16"), OurStep(model, batch, amp="bf16")
        compiled.model.compile_backbone()
        candidates |= {"id_wrt_cmcc_bf16": lambda: half(plain), "id_wrt_cmcc_compiled": lambda: compiled(plain)}
        return {name: _and_wait(run) for name, run in candidates.items()}
    return candidates


class OurStep:
    """A model and the engine's training step, on one batch.

    Args:
        name: in `MODELS`.
        batch: on the device, in aligned halves.
        memory_format: of the weights and the images.
        amp: of TrainingStep.
    """

    def __init__(
        self, name: str, batch: Batch, memory_format: torch.memory_format = torch.channels_last, amp: str = "off"
    ):
        self.batch = batch
        self.model = MODELS[name](NUM_CLASSES, loss="mso", pretrained=False).train()
        self.model.to(batch.images.device, memory_format=memory_format)  # type: ignore[call-overload]
        guard = NonFiniteGuard(self.model, torch.optim.Adam(self.model.parameters()))
        self.step = TrainingStep(self.model, None, guard, batch.images.device, amp)
        self.inputs = ((batch.images - 0.45) / 0.225).contiguous(memory_format=memory_format)

    def __call__(self, criterion: MSOLoss) -> None:
        self.step.criterion = criterion
        self.step(self.inputs, self.batch, batch_idx=0, num_batches=1, impaths=[])

    @torch.no_grad()
    def forward(self) -> None:
        """Extracts the features of the batch."""
        self.model.eval()
        self.model(self.inputs)
        self.model.train()


def _torchreid_step(name: str, batch: Batch) -> Callable[[], object]:
    use_gpu = batch.images.is_cuda
    model = host.models.build_model(
        name.removeprefix("dual_"), NUM_CLASSES, loss="triplet", pretrained=False, use_gpu=use_gpu
    ).train()
    set_stride(model.layer4, 1)  # torchreid's factories use 2, which is half the work in Layer4
    data = SimpleNamespace(train_loader=None, test_loader=None, num_train_pids=NUM_CLASSES)
    model.to(batch.images.device)
    optimizer = torch.optim.Adam(model.parameters())
    engine = host.SoftmaxTripletEngine(data, model, optimizer, use_gpu=use_gpu, label_smooth=False)
    data_of_step = {"img": (batch.images - 0.45) / 0.225, "pid": batch.pids}
    return lambda: engine.forward_backward(data_of_step)


def _alone(loss: Callable[[Tensor], Tensor], values: Tensor) -> None:
    loss(values.detach().requires_grad_()).backward()


def _and_wait(run: Callable[[], object]) -> Callable[[], object]:
    def run_and_wait() -> None:
        run()
        torch.cuda.synchronize()

    return run_and_wait


def _peak_memory() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts kibibytes
