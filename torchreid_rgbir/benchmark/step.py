"""Training steps against each other: the method with and without its parts, torchreid's own step, the usual edge loss."""

from collections.abc import Callable
from types import SimpleNamespace

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from torchreid_rgbir import host
from torchreid_rgbir.benchmark.timing import figures, interleave, peak_of_training
from torchreid_rgbir.engine.guard import NonFiniteGuard
from torchreid_rgbir.engine.step import TrainingStep
from torchreid_rgbir.losses import MSOLoss, PerceptualEdgeLoss, contrastive_center, edge_map, weighted_triplet
from torchreid_rgbir.losses.vgg import VGGStages
from torchreid_rgbir.models import MODELS, Batch
from torchreid_rgbir.models.dual_resnet import set_stride
from torchreid_rgbir.models.precision import unit_length

NUM_CLASSES = 395  # SYSU-MM01's training identities
PRODUCT_SIZE = 2048  # rows and columns of the matrices whose product shows the device's peak
PER_ID = 4  # images per identity and modality, K


def step(
    height: int = 288,
    width: int = 144,
    batch_size: int = 64,
    rounds: int = 5,
    model: str = "dual_resnet50",
    threads: int = 2,
) -> dict[str, dict]:
    """Times training steps on the GPU, or on the CPU if there is none.

    The model runs channels-last, as in training. VGG's weights are random, which cost the same time as ImageNet's.

    Args:
        batch_size: P x 2K with K = 4: a multiple of 8, at least 16.
        model: a name in `MODELS`.

    Returns:
        See `figures`. 'images_per_second': of "forward", which extracts the features of a batch. 'memory': the largest
        number of bytes in use, of the GPU or the process. 'limits': for id_wrt_cmcc, the time that its counted operations
        take at the speed of a matrix product. The ratios are:
        step_over_torchreid: id + WRT + CMCC over torchreid's softmax + triplet step with its ResNet of that depth.
        pef_image_over_without, pef_conv2_over_without: all four losses over id + WRT + CMCC.
        pef_image_over_without_bf16: the first of these with both steps in bfloat16.
        cmcc_wrt_over_id: id + WRT + CMCC over the same without WRT's and CMCC's time. Their time is measured separately,
        since the difference of two steps is too noisy.
        naive_pef_over_ours: the edge loss alone, forward and backward, `naive_perceptual_edge` over ours.
        channels_last_gain: id + WRT + CMCC with contiguous memory over channels-last.
        bf16_gain: id + WRT + CMCC over the same in bfloat16.
        compile_gain, compile_step_gain (GPU only): id + WRT + CMCC in bfloat16 over the same with the backbone compiled, and
        over the same with the complete step compiled (`train.compile step`).
        bf16_compile_step_gain (GPU only): id + WRT + CMCC over the same in bfloat16 with the complete step compiled.

    Raises:
        ValueError: the batch size is not a multiple of 8 or has only one identity, or the model is unknown.
    """
    if batch_size % (2 * PER_ID) or batch_size < 4 * PER_ID:
        raise ValueError(f"batch size is {batch_size}: expected a multiple of {2 * PER_ID}, at least {4 * PER_ID}")
    if model not in MODELS:
        raise ValueError(f"model {model!r} is unknown: choose from {', '.join(MODELS)}")
    seconds = interleave(_candidates(height, width, batch_size, model), rounds, threads=threads)
    pairs = {
        "step_over_torchreid": ("id_wrt_cmcc", "torchreid"),
        "pef_image_over_without": ("pef_image", "id_wrt_cmcc"),
        "pef_conv2_over_without": ("pef_conv2", "id_wrt_cmcc"),
        "naive_pef_over_ours": ("naive_pef_alone", "pef_alone"),
        "channels_last_gain": ("id_wrt_cmcc_contiguous", "id_wrt_cmcc"),
        "cmcc_wrt_over_id": ("id_wrt_cmcc", "id"),
        "bf16_gain": ("id_wrt_cmcc", "id_wrt_cmcc_bf16"),
        "pef_image_over_without_bf16": ("pef_image_bf16", "id_wrt_cmcc_bf16"),
    }
    if torch.cuda.is_available():
        pairs["compile_gain"] = ("id_wrt_cmcc_bf16", "id_wrt_cmcc_compiled")
        pairs["compile_step_gain"] = ("id_wrt_cmcc_bf16", "id_wrt_cmcc_step_compiled")
        pairs["bf16_compile_step_gain"] = ("id_wrt_cmcc", "id_wrt_cmcc_step_compiled")
    parts = zip(seconds["id_wrt_cmcc"], seconds["wrt_cmcc_alone"], strict=True)
    measured = figures(seconds | {"id": [step - losses for step, losses in parts]}, pairs)
    del measured["medians"]["id"]  # computed, not timed
    per_operation = measured["medians"].pop("matrix_product") / (2 * PRODUCT_SIZE**3)
    limit = count_operations(height, width, batch_size, model) * per_operation
    measured["limits"] = {"id_wrt_cmcc": (limit, "its operations at the speed of a matrix product")}
    forward = batch_size / measured["medians"]["forward"]
    return measured | {"images_per_second": {"forward": forward}, "memory": {"steps_peak": peak_of_training()}}


def count_operations(height: int, width: int, batch_size: int, model: str) -> int:
    """Returns the floating-point operations of an id + WRT + CMCC step, as torch counts them: products and convolutions."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ours = OurStep(model, random_batch(batch_size, height, width, device))
    with FlopCounterMode(display=False) as counter:
        ours(MSOLoss(weight_pef=0))
    return counter.get_total_flops()


def random_batch(batch_size: int, height: int, width: int, device: torch.device) -> Batch:
    """Makes a batch of random images, in aligned halves with K = 4."""
    num_ids = batch_size // (2 * PER_ID)
    pids = torch.arange(num_ids).repeat_interleave(PER_ID).repeat(2).to(device)
    return Batch(torch.rand(batch_size, 3, height, width, device=device), pids, batch_size // 2, num_ids)


def waiting(run: Callable[[], object]) -> Callable[[], object]:
    """Returns a function that also waits for the GPU, if there is one."""

    def run_and_wait() -> None:
        run()
        torch.cuda.synchronize()

    return run_and_wait if torch.cuda.is_available() else run


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
    batch = random_batch(batch_size, height, width, device)
    plain = MSOLoss(weight_pef=0)
    pef_image, pef_conv2 = (MSOLoss(pef_entry=entry, pef_weights="random").to(device) for entry in ("image", "conv2"))
    ours = OurStep(model, batch)
    contiguous = OurStep(model, batch, torch.contiguous_format)
    half = OurStep(model, batch, amp="bf16")

    maps = torch.rand(batch_size, 64, height // 4, width // 4, device=device)
    our_maps = maps.contiguous(memory_format=torch.channels_last)
    naive_vgg = VGGStages("image", "random").requires_grad_(True).to(device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    our_vgg = PerceptualEdgeLoss("image", "random").to(device)
    square = torch.rand(PRODUCT_SIZE, PRODUCT_SIZE, device=device)
    features = torch.randn(batch_size, MODELS[model](1, pretrained=False).feature_dim, device=device)

    def alone(loss: Callable[[Tensor], Tensor], values: Tensor) -> None:
        loss(values.detach().requires_grad_()).backward()

    def wrt_cmcc(leaf: Tensor) -> Tensor:
        unit = unit_length(leaf)
        return weighted_triplet(unit, batch.pids) + contrastive_center(unit, batch.num_ids)

    def naive_edges(leaf: Tensor) -> Tensor:
        return naive_perceptual_edge(leaf, batch.images, batch.num_rgb, naive_vgg)

    candidates: dict[str, Callable[[], object]] = {
        "torchreid": _torchreid_step(model, batch),
        "id_wrt_cmcc": lambda: ours(plain),
        "pef_image": lambda: ours(pef_image),
        "pef_conv2": lambda: ours(pef_conv2),
        "id_wrt_cmcc_contiguous": lambda: contiguous(plain),
        "id_wrt_cmcc_bf16": lambda: half(plain),
        "pef_image_bf16": lambda: half(pef_image),
        "wrt_cmcc_alone": lambda: alone(wrt_cmcc, features),
        "pef_alone": lambda: alone(lambda leaf: our_vgg(leaf, batch.images, batch.num_rgb), our_maps),
        "naive_pef_alone": lambda: alone(naive_edges, maps),
        "forward": ours.forward,
        "matrix_product": lambda: square @ square,
    }
    if device.type == "cuda":
        backbone, complete = OurStep(model, batch, amp="bf16"), OurStep(model, batch, amp="bf16")
        backbone.model.compile_backbone()
        complete.step.compile()
        candidates["id_wrt_cmcc_compiled"] = lambda: backbone(plain)
        candidates["id_wrt_cmcc_step_compiled"] = lambda: complete(plain)
    return {name: waiting(run) for name, run in candidates.items()}


class OurStep:
    """A model of `MODELS` and the engine's training step, on one batch in aligned halves."""

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
    name = name.removeprefix("dual_")
    model = host.models.build_model(name, NUM_CLASSES, loss="triplet", pretrained=False, use_gpu=use_gpu).train()
    set_stride(model.layer4, 1)  # torchreid's factories use 2, which is half the work in Layer4
    model.to(batch.images.device)
    data = SimpleNamespace(train_loader=None, test_loader=None, num_train_pids=NUM_CLASSES)
    optimizer = torch.optim.Adam(model.parameters())
    engine = host.SoftmaxTripletEngine(data, model, optimizer, use_gpu=use_gpu, label_smooth=False)
    inputs = {"img": (batch.images - 0.45) / 0.225, "pid": batch.pids}
    return lambda: engine.forward_backward(inputs)
