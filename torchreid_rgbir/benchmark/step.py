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
from torchreid_rgbir.engine.optimizer_step import Update
from torchreid_rgbir.losses import MSOLoss, PerceptualEdgeLoss, contrastive_center, edge_map, weighted_triplet
from torchreid_rgbir.losses.vgg import VGGStages
from torchreid_rgbir.models import MODELS
from torchreid_rgbir.models.dual_resnet import set_stride
from torchreid_rgbir.models.precision import unit_length

NUM_CLASSES = 395  # SYSU-MM01's training identities
PER_ID = 4  # images per identity and modality, K
Batch = tuple[Tensor, Tensor]  # images (B, 3, H, W) in [0, 1] and pids (B,)


def step(
    height: int = 288,
    width: int = 144,
    batch_size: int = 64,
    rounds: int = 5,
    model: str = "dual_resnet50",
    threads: int = 2,
) -> dict[str, dict]:
    """Times training steps on the GPU, or on the CPU without one, all of them in turn in every round, so that a busy machine slows them alike.

    The model runs channels-last, as training runs it. VGG's weights are random: they cost what ImageNet's cost.
    On a GPU also with mixed precision and compiled.

    Args:
        height: of the images.
        width: of the images.
        batch_size: P x 2K with K = 4; a multiple of 8, at least 16.
        rounds: how often each candidate is timed.
        model: a name in `MODELS`.
        threads: torch's threads during the measurement.

    Returns:
        'ratios', each the median over the rounds of a ratio within one round:
        step_over_torchreid: id + WRT + CMCC over torchreid's softmax + triplet step with its ResNet of that depth.
        pef_image_over_without, pef_conv2_over_without: all four losses over id + WRT + CMCC.
        cmcc_wrt_over_id: id + WRT + CMCC over the same without WRT's and CMCC's time (taken on their own, as a
        difference of two steps would drown it).
        naive_pef_over_ours: the edge loss alone, forward and backward, `naive_perceptual_edge` over ours.
        channels_last_gain: id + WRT + CMCC with contiguous memory over channels-last.
        bf16_gain, compile_gain (GPU only): id + WRT + CMCC over the same in bfloat16, and over that compiled.
        'medians': seconds of each candidate; "forward" is the extraction of a batch's features. 'spread': smallest and largest of each ratio.
        'images_per_second': of "forward". 'memory': most bytes held, of the GPU or else of the process, all candidates together.

    Raises:
        ValueError: a batch size that is no multiple of 8 or holds one identity, or an unknown model.
    """
    if batch_size % (2 * PER_ID) or batch_size < 4 * PER_ID:
        raise ValueError(f"batch size is {batch_size}: expected a multiple of {2 * PER_ID}, at least {4 * PER_ID}")
    if model not in MODELS:
        raise ValueError(f"model {model!r} is unknown: choose one of {', '.join(MODELS)}")
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
    """The edge loss as one writes it down first: a pass for each modality's maps and another for its edges.

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
    batch = torch.rand(batch_size, 3, height, width, device=device), pids
    plain = MSOLoss(weight_pef=0)
    pef_image, pef_conv2 = (MSOLoss(pef_entry=entry, pef_weights="random").to(device) for entry in ("image", "conv2"))

    ours = OurStep(model, batch, num_ids)
    contiguous = OurStep(model, batch, num_ids, torch.contiguous_format)

    maps = torch.rand(batch_size, 64, height // 4, width // 4, device=device).contiguous(
        memory_format=torch.channels_last
    )
    naive_vgg = VGGStages("image", "random").requires_grad_(True).to(device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    our_vgg = PerceptualEdgeLoss("image", "random").to(device)

    features = torch.randn(batch_size, MODELS[model](1, pretrained=False).feature_dim, device=device)

    def wrt_cmcc(leaf: Tensor) -> Tensor:
        unit = unit_length(leaf)
        return weighted_triplet(unit, batch[1]) + contrastive_center(unit, num_ids)

    candidates: dict[str, Callable[[], object]] = {
        "torchreid": _torchreid_step(model, batch),
        "id_wrt_cmcc": lambda: ours(plain),
        "pef_image": lambda: ours(pef_image),
        "pef_conv2": lambda: ours(pef_conv2),
        "id_wrt_cmcc_contiguous": lambda: contiguous(plain),
        "wrt_cmcc_alone": lambda: _alone(wrt_cmcc, features),
        "pef_alone": lambda: _alone(lambda leaf: our_vgg(leaf, batch[0], num_rgb), maps),
        "naive_pef_alone": lambda: _alone(
            lambda leaf: naive_perceptual_edge(leaf, batch[0], num_rgb, naive_vgg), maps.contiguous()
        ),
        "forward": ours.forward,
    }
    if device.type == "cuda":
        half, compiled = OurStep(model, batch, num_ids, amp="bf16"), OurStep(model, batch, num_ids, amp="bf16")
        compiled.model.compile_backbone()
        candidates |= {"id_wrt_cmcc_bf16": lambda: half(plain), "id_wrt_cmcc_compiled": lambda: compiled(plain)}
        return {name: _and_wait(run) for name, run in candidates.items()}
    return candidates


class OurStep:
    """A model and its training step on one batch, as the engine makes it.

    Args:
        name: in `MODELS`.
        batch: on the device.
        num_ids: P.
        memory_format: of the weights and the images.
        amp: see `Update`.
    """

    def __init__(
        self,
        name: str,
        batch: Batch,
        num_ids: int,
        memory_format: torch.memory_format = torch.channels_last,
        amp: str = "off",
    ):
        self.images, self.pids = batch
        self.num_ids = num_ids
        self.model = MODELS[name](NUM_CLASSES, loss="mso", pretrained=False).train()
        self.model.to(self.images.device, memory_format=memory_format)  # type: ignore[call-overload]
        guard = NonFiniteGuard(self.model, torch.optim.Adam(self.model.parameters()))
        self.update = Update(self.model, guard, self.images.device, amp)
        self.normalized = ((self.images - 0.45) / 0.225).contiguous(memory_format=memory_format)

    def __call__(self, criterion: MSOLoss) -> None:
        num_rgb = len(self.images) // 2
        with self.update.autocast():
            logits, features, maps = self.model(self.normalized, num_rgb)
        losses = criterion(logits, features, maps, self.pids, self.images, num_rgb, self.num_ids)
        self.update(losses, batch=0, num_batches=1, impaths=[])

    @torch.no_grad()
    def forward(self) -> None:
        self.model.eval()
        self.model(self.normalized)
        self.model.train()


def _torchreid_step(name: str, batch: Batch) -> Callable[[], object]:
    use_gpu = batch[0].is_cuda
    model = host.models.build_model(
        name.removeprefix("dual_"), NUM_CLASSES, loss="triplet", pretrained=False, use_gpu=use_gpu
    ).train()
    set_stride(model.layer4, 1)  # its factories fix 2, which is half the work in Layer4
    data = SimpleNamespace(train_loader=None, test_loader=None, num_train_pids=NUM_CLASSES)
    model.to(batch[0].device)
    optimizer = torch.optim.Adam(model.parameters())
    engine = host.SoftmaxTripletEngine(data, model, optimizer, use_gpu=use_gpu, label_smooth=False)
    data_of_step = {"img": (batch[0] - 0.45) / 0.225, "pid": batch[1]}
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
