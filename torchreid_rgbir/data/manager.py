"""The data manager: torchreid's ImageDataManager with the P x K x 2 sampler and images that stay uint8 until they are on the device."""

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from torch.utils.data import default_collate

from torchreid_rgbir import distributed, host
from torchreid_rgbir.data.broken_images import exclude_broken_images
from torchreid_rgbir.data.cache import cache_images
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item
from torchreid_rgbir.data.images import parse_ir_range
from torchreid_rgbir.data.listed_once import listed_once
from torchreid_rgbir.data.loading import Loader
from torchreid_rgbir.data.sampler import SAMPLERS
from torchreid_rgbir.data.spectra import SPECTRA, infrared
from torchreid_rgbir.data.spectra import check as check_spectrum
from torchreid_rgbir.data.transforms import BatchTransforms, Decode

logger = logging.getLogger(__name__)

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class CrossModalDataManager(host.data.ImageDataManager):
    """Loads the training and test images of cross-modal data sets.

    `train_loader` yields batches of uint8 images in the order of the sampler; `transforms` augments and normalizes
    them on the device.

    Args:
        root, sources, targets, height, width, split_id, combineall, batch_size_train, batch_size_test, workers, use_gpu: as
            torchreid's.
        transforms: names of torchreid and of this package (`data.augmentations.AUGMENTATIONS`).
        norm_mean, norm_std: normalization of each channel; None uses ImageNet's.
        num_instances: K, the number of images per identity *and modality* in a batch.
        batches_per_epoch: 0 is one pass over the larger modality.
        seed: of the sampler and of the augmentation.
        skip_broken: read every image once and exclude those that cannot be read.
        transforms_rgb, transforms_ir: additional transforms for the images of one modality only.
        transforms_rgb2: if not empty, each RGB image is in the batch a second time, with `transforms` and these.
        cache: where decoded images are kept: "none", "ram" or "disk"; see `data.cache`.
        cache_dir: the folder for "disk"; empty is `.decoded` in the data root.
        sampler: of the training batches, a name in `data.sampler.SAMPLERS`.
        ir_range: how gray images of more than 8 bits become 8 bits; see `data.images.parse_ir_range`.
        ir: "nir" or "tir", the spectrum that is IR in data sets with both.
        balance: of several sources in a batch, "size" or "equal"; see `data.balance`.

    Attributes:
        left_out: for each excluded image, its path and what is wrong with it.

    Raises:
        ValueError: a data set is unknown or has one modality, the batch size is not P x 2K, or there are too few identities.
        FileNotFoundError: the data root does not have the layout of the data set.
        OSError: the cache cannot be written.
    """

    train_loader: Loader

    def __init__(
        self,
        root: str = "",
        sources: str | Sequence[str] = "sysu_mm01",
        targets: str | Sequence[str] | None = None,
        height: int = 288,
        width: int = 144,
        transforms: str | Sequence[str] = ("pad_crop", "random_flip"),
        norm_mean: Sequence[float] | None = None,
        norm_std: Sequence[float] | None = None,
        use_gpu: bool = True,
        split_id: int = 0,
        combineall: bool = False,
        batch_size_train: int = 64,
        batch_size_test: int = 64,
        workers: int = 4,
        num_instances: int = 4,
        batches_per_epoch: int = 0,
        seed: int = 0,
        skip_broken: bool = False,
        transforms_rgb: Sequence[str] = (),
        transforms_ir: Sequence[str] = (),
        cache: str = "none",
        cache_dir: str = "",
        ir_range: str = "auto",
        sampler: str = "pk",
        transforms_rgb2: Sequence[str] = (),
        ir: str = SPECTRA[0],
        balance: str = "size",
    ):
        self.ir_range = str(parse_ir_range(ir_range))
        rank, world_size = distributed.rank(), distributed.world_size()
        norm_mean, norm_std = list(norm_mean or IMAGENET_MEAN), list(norm_std or IMAGENET_STD)
        self.transforms = BatchTransforms(
            transforms,
            norm_mean,
            norm_std,
            seed,
            transforms_rgb,
            transforms_ir,
            rank,
            world_size,
            transforms_rgb2,
        )
        sources = [sources] if isinstance(sources, str) else list(sources)
        targets = [targets] if isinstance(targets, str) else list(targets or sources)
        check_cross_modal("data.sources", sources)
        check_cross_modal("data.targets", targets)
        has_shares = SAMPLERS[sampler].is_balanced
        if balance != "size" and (not has_shares or len(sources) < 2):
            why = "one data set" if has_shares else f"sampler.name {sampler}"
            raise ValueError(f"sampler.balance {balance} has no effect with {why}: remove it")
        registered: dict[str, Any] = host.image_datasets()
        check_spectrum(ir, {name: registered[name].infrared for name in (*sources, *targets)})
        with _hidden_transforms(), infrared(ir), listed_once({*sources, *targets}):
            super().__init__(
                root=root,
                sources=sources,
                targets=targets,
                height=height,
                width=width,
                transforms=[],  # workers only decode and resize
                norm_mean=norm_mean,
                norm_std=norm_std,
                use_gpu=use_gpu,
                split_id=split_id,
                combineall=combineall,
                batch_size_train=batch_size_train,
                batch_size_test=batch_size_test,
                workers=workers,
            )
        augmented = [("RGB", self.transforms.rgb), ("IR", self.transforms.ir)]
        if self.transforms.num_rgb_views == 2:
            augmented.insert(1, ("Second view of RGB", self.transforms.rgb2))
        for modality, names in augmented:
            used = ", ".join(names) or "no augmentation"
            size = f"{height} x {width}"
            logger.info(
                "%s training images: %s, %s, mean %s, standard deviation %s", modality, size, used, norm_mean, norm_std
            )
        trainset: Any = self.train_loader.dataset
        tests: list[Any] = [loader.dataset for loaders in self.test_loader.values() for loader in loaders.values()]
        for dataset in (trainset, *tests):
            dataset.transform = Decode(height, width)
            dataset.ir_range = ir_range
        self.left_out = exclude_broken_images([trainset, *tests]) if skip_broken else {}

        self.sampler = SAMPLERS[sampler](
            [item.pid for item in trainset.train],
            [item.modality for item in trainset.train],
            batch_size_train,
            num_instances,
            batches_per_epoch,
            seed,
            rank,
            world_size,
            **self._groups(trainset.train, balance) if has_shares else {},
        )
        if cache != "none":
            impaths = [item[0] for dataset in (trainset, *tests) for item in dataset.data]
            folder = cache_dir or Path(root).expanduser().absolute() / ".decoded"
            # The same data set at two places is two sets of images.
            name = f"{'+'.join(sorted({*self.sources, *self.targets}))}-{crc32(str(Path(root).resolve()).encode()):08x}"
            with distributed.first_on_this_machine():
                decoded = cache_images(impaths, height, width, cache, folder, name, workers, ir_range)
            for dataset in (trainset, *tests):
                dataset.cache = decoded
            workers = 0  # they would only copy the images
        options: dict[str, Any] = {
            "num_workers": workers,
            "ahead": cache != "none",
            "pin_memory": self.use_gpu,
            "collate_fn": collate,
        }
        self.train_loader = Loader(trainset, batch_sampler=self.sampler, persistent_workers=workers > 0, **options)
        for loaders in self.test_loader.values():
            for name, loader in loaders.items():
                loaders[name] = Loader(
                    loader.dataset, batch_sampler=_batches(len(loader.dataset), batch_size_test), **options
                )

    def _groups(self, items: Sequence[Item], balance: str) -> dict[str, Any]:
        """The arguments of `CrossModalSampler` for frames of tracks and for several data sets."""
        tracks = None
        if any(item.track for item in items):
            # Each camera may number its tracks from 1. An image without a track is a track of its own.
            keys = [(item.camid, item.track) if item.track else (index, 0) for index, item in enumerate(items)]
            numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
            tracks = [numbers[key] for key in keys]
        dsetids = [item.dsetid for item in items] if len(self.sources) > 1 else None
        return {"tracks": tracks, "dsetids": dsetids, "balance": balance}


@contextlib.contextmanager
def _hidden_transforms() -> Iterator[None]:
    """Drops the lines in which torchreid prints its own transforms, which are not in use."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        lines = printed.getvalue().splitlines(keepends=True)
        print("".join(line for line in lines if not line.startswith(("Building t", "+ "))), end="")


def collate(samples: list[dict] | dict) -> dict:
    """Collates samples as torch does, but keeps images channels last in memory, so that no pixel is moved on the way to the device.

    A complete batch, as the cache returns it, is returned as it is.
    """
    if isinstance(samples, dict):
        return samples
    batch = default_collate([{**sample, "img": sample["img"].permute(1, 2, 0)} for sample in samples])
    batch["img"] = batch["img"].permute(0, 3, 1, 2)  # (B, 3, H, W)
    return batch


def _batches(num: int, batch_size: int) -> list[list[int]]:
    """The batches of `num` images in order, as one process would make them, that are this process's share."""
    batches = [list(range(start, min(start + batch_size, num))) for start in range(0, num, batch_size)]
    return [batches[i] for i in distributed.rank_slice(len(batches))]


def is_cross_modal(name: str) -> bool:
    """Whether a data set with RGB and IR images is registered with torchreid under `name`."""
    return issubclass(host.image_datasets().get(name, object), CrossModalImageDataset)


def check_cross_modal(key: str, names: Sequence[str]) -> None:
    """Checks the names of data sets before any of them is loaded; torchreid's own would start a download.

    Raises:
        ValueError: a data set is unknown, has images of one modality, or is listed twice.
    """
    for name in names:
        if not is_cross_modal(name):
            reason = "is unknown" if name not in host.image_datasets() else "has images of one modality"
            raise ValueError(
                f"{key}: {name} {reason}: choose data sets with RGB and IR images, such as sysu_mm01, or register a custom "
                "one with --import FILE.py"
            )
    twice = [name for name in names if list(names).count(name) > 1]
    if twice:
        raise ValueError(f"{key} lists {twice[0]} twice: list it once")
