"""The data manager: torchreid's ImageDataManager with the P x K x 2 sampler and images that stay uint8 until they are on the device."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from torch.utils.data import default_collate

from torchreid_rgbir import distributed, host
from torchreid_rgbir.data.broken_images import exclude_broken_images
from torchreid_rgbir.data.cache import cache_images
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset
from torchreid_rgbir.data.loading import Loader
from torchreid_rgbir.data.sampler import CrossModalSampler
from torchreid_rgbir.data.transforms import BatchTransforms, Decode

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class CrossModalDataManager(host.data.ImageDataManager):
    """Train and test loaders of cross-modal data sets.

    `train_loader` yields batches of uint8 images in the layout of `CrossModalSampler`; `transforms` augments and normalizes them on the device.

    Args:
        root, sources, targets, height, width, split_id, combineall, batch_size_train, batch_size_test, workers, use_gpu: torchreid's.
        transforms: torchreid's names and ours (`data.transforms.AUGMENTATIONS`).
        norm_mean, norm_std: of each channel; ImageNet's when None.
        num_instances: K, images of an identity *and modality* in a batch.
        batches_per_epoch: 0 = one pass over the larger modality.
        seed: of the sampler and of the augmentation.
        skip_broken: leave out images that cannot be read; every image is read once to find them.
        transforms_rgb, transforms_ir: further transforms, of one modality's images only.
        cache: "none", or where images are kept once they are decoded: "ram", "disk"; see `data.cache`.
        cache_dir: the folder for "disk"; the data root's `.decoded` when empty.

    Attributes:
        left_out: images that cannot be read, and what is wrong with each.

    Raises:
        ValueError: an unknown data set or one that is not cross-modal, a batch size that P x 2K does not divide, too few identities.
        FileNotFoundError: a data root without the layout.
        OSError: a cache that cannot be written.
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
    ):
        rank, world_size = distributed.rank(), distributed.world_size()
        self.transforms = BatchTransforms(
            transforms,
            norm_mean or IMAGENET_MEAN,
            norm_std or IMAGENET_STD,
            seed,
            transforms_rgb,
            transforms_ir,
            rank,
            world_size,
        )
        sources = [sources] if isinstance(sources, str) else list(sources)
        targets = [targets] if isinstance(targets, str) else list(targets or sources)
        check_cross_modal("data.sources", sources)
        check_cross_modal("data.targets", targets)
        super().__init__(
            root=root,
            sources=sources,
            targets=targets,
            height=height,
            width=width,
            transforms=[],  # nothing is drawn in a worker
            use_gpu=use_gpu,
            split_id=split_id,
            combineall=combineall,
            batch_size_train=batch_size_train,
            batch_size_test=batch_size_test,
            workers=workers,
        )
        trainset: Any = self.train_loader.dataset
        tests: list[Any] = [loader.dataset for loaders in self.test_loader.values() for loader in loaders.values()]
        for dataset in (trainset, *tests):
            dataset.transform = Decode(height, width)
        self.left_out = exclude_broken_images([trainset, *tests]) if skip_broken else {}

        self.sampler = CrossModalSampler(
            [item.pid for item in trainset.train],
            [item.modality for item in trainset.train],
            batch_size_train,
            num_instances,
            batches_per_epoch,
            seed,
            rank,
            world_size,
        )
        if cache != "none":
            impaths = [item[0] for dataset in (trainset, *tests) for item in dataset.data]
            folder = cache_dir or Path(root).expanduser().absolute() / ".decoded"
            # One data set in two places is two sets of images.
            name = f"{'+'.join(sorted({*self.sources, *self.targets}))}-{crc32(str(Path(root).resolve()).encode()):08x}"
            with distributed.first_on_this_machine():
                decoded = cache_images(impaths, height, width, cache, folder, name, workers)
            for dataset in (trainset, *tests):
                dataset.cache = decoded
            workers = 0  # they would only copy the images once more
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
                    loader.dataset, batch_sampler=_share(len(loader.dataset), batch_size_test), **options
                )


def collate(samples: list[dict] | dict) -> dict:
    """torch's, but images (3, H, W) are put together as they lie in memory, channels last: nothing is reordered on the way to the device.

    A whole batch, as the cache reads it, passes.
    """
    if isinstance(samples, dict):
        return samples
    batch = default_collate([{**sample, "img": sample["img"].permute(1, 2, 0)} for sample in samples])
    batch["img"] = batch["img"].permute(0, 3, 1, 2)  # (B, 3, H, W)
    return batch


def _share(num: int, batch_size: int) -> list[list[int]]:
    """This process's batches of `num` images in order, the same ones that a process alone would make."""
    batches = [list(range(start, min(start + batch_size, num))) for start in range(0, num, batch_size)]
    return [batches[i] for i in distributed.rank_slice(len(batches))]


def is_cross_modal(name: str) -> bool:
    """Whether the data set registered with torchreid under `name` has RGB and IR images."""
    return issubclass(host.find_image_dataset(name) or object, CrossModalImageDataset)


def check_cross_modal(key: str, names: Sequence[str]) -> None:
    """Before anything is listed, or downloaded by torchreid's own data sets.

    Raises:
        ValueError: a data set that is unknown, of one modality, or named twice.
    """
    for name in names:
        if not is_cross_modal(name):
            reason = "is unknown" if host.find_image_dataset(name) is None else "has images of one modality"
            raise ValueError(
                f"{key}: {name} {reason}, choose data sets with RGB and IR images, such as sysu_mm01, or --import FILE.py, which registers yours"
            )
    twice = [name for name in names if list(names).count(name) > 1]
    if twice:
        raise ValueError(f"{key} names {twice[0]} twice")
