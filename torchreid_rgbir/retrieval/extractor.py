"""Extracts features of any images with a trained model. It needs only the checkpoint."""

import hashlib
import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import filterfalse, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from torchreid_rgbir.data.folder import is_junk, parse_camera
from torchreid_rgbir.data.images import file_of, read_image, to_upright_rgb
from torchreid_rgbir.data.transforms import BatchTransforms, Decode
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.modality import modality_of
from torchreid_rgbir.models import TwoStreamNetwork
from torchreid_rgbir.models.embedding import embed
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.retrieval.image_table import labeled_images, read_frame_table
from torchreid_rgbir.terminal import progress

AnyImage = str | os.PathLike[str] | NDArray[np.uint8] | Image.Image


class Extractor:
    """A trained model that extracts features of images in the same way as the test of its training run.

    Use `Extractor.load` to make one. Features have length 1 by default and are compared by cosine, also if the run was
    tested with `test.dist_metric euclidean`.

    Attributes:
        model: the model, in evaluation mode, on its device.
        height, width: size of the images that the model takes, in pixels.
        mean, std: normalization of each channel, for images in [0, 1].
        ir_range: intensity rule for images with more than 8 bits (`data.ir_range`).
        fingerprint: 32 hexadecimal digits that identify everything the features depend on (weights, size, normalization,
            kind of feature), so that features of different models are never compared.
    """

    def __init__(
        self,
        model: TwoStreamNetwork,
        images: dict[str, Any],
        feature: str,
        flip: bool,
        device: torch.device,
        amp: bool = False,
    ):
        self.model = model
        self.height, self.width = images["height"], images["width"]
        self.mean, self.std = tuple(images["norm_mean"]), tuple(images["norm_std"])
        self.ir_range = images.get("ir_range", "dtype")
        self.feature, self.flip = feature, flip
        self.device = device
        self.amp = amp
        # Galleries store the fingerprint, so this text never changes. It is the repr of a class of an earlier version.
        kind = f"Testing(query='ir', sampling='official', feature={feature!r}, flip={flip!r}, rerank=None)"
        if self.ir_range != "dtype":  # the only rule of earlier versions
            kind += f", ir_range={self.ir_range!r}"
        settings = f"({self.height!r}, {self.width!r}, {self.mean!r}, {self.std!r}, {kind})"
        self.fingerprint = _fingerprint(model, settings)
        self._decode = Decode(self.height, self.width)
        self._transforms = BatchTransforms([], self.mean, self.std)

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device | None = None, amp: bool = False) -> "Extractor":
        """Reads architecture, weights, image size, normalization and kind of feature from a run's checkpoint.

        Args:
            path: model/model.pth.tar-EPOCH or model/model-best.pth.tar, a folder that `export --layout hub` wrote, or
                `hf://ORG/NAME`, a model on Hugging Face's hub (see `torchreid_rgbir.files.hub.download`).
            device: None uses the GPU if there is one.
            amp: use automatic mixed precision. It is faster on a GPU, and features differ in the third digit.

        Raises:
            FileNotFoundError: the file is missing.
            ValueError: the file is not a checkpoint, or does not describe its model.
        """
        model, about = load_model(path)
        try:
            test = yaml.safe_load(about["config"])["test"]
            feature, flip = test["feature"], test["flip"]
        except KeyError as error:
            raise ValueError(
                f"{path} does not say which feature it was tested with ({error} is missing): "
                "use a checkpoint that `torchreid-rgbir train` wrote"
            ) from None
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model = model.to(device).to(memory_format=torch.channels_last)
        return cls(model, about["images"], feature, flip, device, amp)

    def __call__(
        self, images: AnyImage | Sequence[AnyImage], modality: str, batch_size: int = 64, normalize: bool = True
    ) -> NDArray[np.float32]:
        """Extracts features of images of one modality.

        Args:
            images: one image or several: paths, folders (with their subfolders, sorted by path), uint8 arrays (H, W, 3)
                or (H, W), or PIL images.
            modality: "rgb" or "ir", of all images.
            batch_size: images per forward pass.
            normalize: scale each feature to length 1.

        Returns:
            (N, D), in the order of the images.

        Raises:
            FileNotFoundError: an image or a folder is missing.
            ValueError: there is no image, an image cannot be read, or the modality is unknown.
        """
        raw = torch.cat(list(self._features(image_list(images), modality, batch_size)))
        return (F.normalize(raw) if normalize else raw).cpu().numpy()

    def stream(self, images: Iterable[AnyImage], modality: str, batch_size: int = 64) -> Iterator[NDArray[np.float32]]:
        """Extracts features while the images arrive, for more images than fit into memory.

        Args:
            images, modality, batch_size: as for a call, but without folders. Four batches of images are in memory at a time.

        Yields:
            (B, D) features of length 1 for each batch, in the order of the images.
        """
        for raw in self._features(images, modality, batch_size):
            yield F.normalize(raw).cpu().numpy()

    @torch.no_grad()
    def _features(self, images: Iterable[AnyImage], modality: str, batch_size: int) -> Iterator[Tensor]:
        """Yields (B, D) features on the model's device, of any length."""
        number = modality_of(modality)
        if batch_size < 1:
            raise ValueError(f"batch size is {batch_size}: set it to 1 or more")
        for batch in self._batches(images, batch_size):
            inputs = self._transforms.normalize(batch.to(self.device, non_blocking=True))
            with torch.autocast(self.device.type, enabled=self.amp):
                embedded = embed(self.model, inputs, number, self.feature, self.flip)
            yield embedded.float()

    def _batches(self, images: Iterable[AnyImage], batch_size: int) -> Iterator[Tensor]:
        """Yields uint8 batches (B, 3, H, W). Threads decode the next batches during a forward pass."""
        ahead: deque[list[Future[Tensor]]] = deque()
        pending, total = iter(images), len(images) if isinstance(images, list) else None

        def decoded() -> Tensor:
            batch = torch.stack([future.result() for future in ahead.popleft()])
            bar.update(len(batch))
            return batch

        # Threads suffice because Pillow releases the GIL while it decodes. LanceDB does not allow forking.
        with (
            ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
            progress(None, "extracting features", total, unit="image") as bar,
        ):
            try:
                while batch := [pool.submit(self._read, image) for image in islice(pending, batch_size)]:
                    ahead.append(batch)
                    if len(ahead) > 2:
                        yield decoded()
                while ahead:
                    yield decoded()
            finally:
                pool.shutdown(cancel_futures=True)

    def _read(self, image: AnyImage) -> Tensor:
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
                raise ValueError(
                    f"an image is an array {image.shape} of {image.dtype}: convert it to uint8 with shape (H, W, 3) or (H, W)"
                )
            image = Image.fromarray(image)
        if isinstance(image, Image.Image):
            return self._decode(to_upright_rgb(image, self.ir_range))
        return self._decode(read_image(os.fspath(image), self.ir_range))


def image_list(images: AnyImage | Sequence[AnyImage]) -> list[AnyImage]:
    """Lists one image, several images or the images of folders.

    Raises:
        FileNotFoundError: a path is missing. Nothing has been read by then.
        ValueError: there is no image.
    """
    one = isinstance(images, (str, os.PathLike, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim < 4)
    listed: list[AnyImage] = []
    for image in [images] if one else images:  # type: ignore[list-item,union-attr]
        if isinstance(image, (str, os.PathLike)):
            path = Path(image).expanduser()
            listed += (
                [str(path)] if os.path.isfile(file_of(str(path))) else [found for found, _ in labeled_images([path])]
            )
        else:
            listed.append(image)  # type: ignore[arg-type]
    if not listed:
        raise ValueError("no image was given: give at least one")
    return listed


def extract(
    extractor: Extractor, images: Mapping[str, Sequence[str]], batch_size: int = 64, normalize: bool = True
) -> TestFeatures:
    """Extracts images of one or both modalities.

    An image's identity is the first folder below the given folder (see `labeled_images`), and pids number these names in
    sorted order. A folder with a negative number as its name is junk and has the pid -1. A file prefix `cN_` gives the
    camera, 0 = unknown. A CSV file gives all of this, and tracks (see `read_frame_table`). The images of an identity, modality and
    camera are numbered by path.

    Args:
        extractor: the model.
        images: "rgb" or "ir" -> images, folders of images, or CSV files.
        batch_size, normalize: as for `Extractor`.

    Returns:
        One row per image, RGB first, sorted by path.

    Raises:
        FileNotFoundError, ValueError: as for `Extractor`. A missing image or folder is found before extraction starts.
    """
    labeled = {name: sorted(_labeled(images[name])) for name in sorted(images, key=modality_of)}
    identities = {identity for found in labeled.values() for _, identity, *_ in found}
    pid_of = {identity: pid for pid, identity in enumerate(sorted(filterfalse(is_junk, identities)))}
    columns: list[tuple[int, int, int, int, int]] = []  # pid, camid, modality, number, track
    count: Counter[tuple[int, int, int]] = Counter()
    for name, found in labeled.items():
        for _, identity, camera, track in found:
            group = (pid_of.get(identity, -1), camera, modality_of(name))
            count[group] += 1
            columns.append((*group, count[group], track))
    pids, camids, modalities, numbers, tracks = np.array(columns).T
    paths = {name: [path for path, *_ in found] for name, found in labeled.items()}
    features = np.concatenate([extractor(paths[name], name, batch_size, normalize) for name in paths])
    every_path = np.concatenate(list(paths.values()))
    return TestFeatures(features, pids, camids, modalities, numbers, every_path, tracks if tracks.any() else None)


def _labeled(sources: Sequence[str]) -> list[tuple[str, str, int, int]]:
    """The path, identity, camera and track of each image."""
    tables = [source for source in sources if source.lower().endswith(".csv") and not os.path.isdir(source)]
    found = [row for table in tables for row in read_frame_table(table)]
    if others := [source for source in sources if source not in tables]:
        found += [(path, identity, parse_camera(Path(path).name), 0) for path, identity in labeled_images(others)]
    return found


def _fingerprint(model: nn.Module, settings: str) -> str:
    digest = hashlib.blake2b(settings.encode(), digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith(checkpoint.CLASSIFIER):  # features do not depend on the classifier
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
