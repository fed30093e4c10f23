"""Features of one's own images, from a checkpoint and nothing else."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from torchreid_rgbir.data.images import list_images, read_image, to_8_bits
from torchreid_rgbir.data.transforms import BatchTransforms, Decode
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.models import DualResNet
from torchreid_rgbir.models.embedding import embed
from torchreid_rgbir.models.loading import load_model
from torchreid_rgbir.protocols.protocol import modality_of
from torchreid_rgbir.terminal import progress

AnyImage = str | os.PathLike[str] | NDArray[np.uint8] | Image.Image


class Extractor:
    """A trained model that turns images into features, as the test of its training run did.

    Made by `Extractor.load`.

    Attributes:
        model: the model, in evaluation mode, on its device.
        height, width: of the images that it takes, in pixels.
        mean, std: of each channel, of images in [0, 1].
        fingerprint: names what the features depend on (weights, size, normalization, kind of feature), so that features of
            two models are never compared; 32 hexadecimal digits.
    """

    def __init__(
        self,
        model: DualResNet,
        images: dict[str, Any],
        feature: str,
        flip: bool,
        device: torch.device,
        amp: bool = False,
    ):
        self.model = model
        self.height, self.width = images["height"], images["width"]
        self.mean, self.std = tuple(images["norm_mean"]), tuple(images["norm_std"])
        self.feature, self.flip = feature, flip
        self.device = device
        self.amp = amp
        # This text is part of every gallery's fingerprint, so it never changes.
        kind = f"Testing(query='ir', sampling='official', feature={feature!r}, flip={flip!r}, rerank=None)"
        settings = f"({self.height!r}, {self.width!r}, {self.mean!r}, {self.std!r}, {kind})"
        self.fingerprint = _fingerprint(model, settings)
        self._decode = Decode(self.height, self.width)
        self._transforms = BatchTransforms([], self.mean, self.std)

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device | None = None, amp: bool = False) -> "Extractor":
        """Reads everything from a checkpoint: architecture, weights, size, normalization, kind of feature.

        Args:
            path: model/model.pth.tar-EPOCH or model/model-best.pth.tar of a run.
            device: where to compute; None: on the GPU where there is one.
            amp: compute in half precision where torch holds that to be safe: faster on a GPU, features differ in the third digit.

        Raises:
            FileNotFoundError: no such file.
            ValueError: no checkpoint, or one that does not say what model it is.
        """
        model, about = load_model(path)
        try:
            test = yaml.safe_load(about["config"])["test"]
            feature, flip = test["feature"], test["flip"]
        except KeyError as error:
            raise ValueError(
                f"{path} does not say how its features are taken ({error} is missing): give a checkpoint of `torchreid-rgbir train`"
            ) from None
        device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model = model.to(device).to(memory_format=torch.channels_last)
        return cls(model, about["images"], feature, flip, device, amp)

    @torch.no_grad()
    def __call__(
        self,
        images: AnyImage | Sequence[AnyImage],
        modality: str,
        batch_size: int = 64,
        normalize: bool = True,
    ) -> NDArray[np.float32]:
        """Features of images of one modality.

        Args:
            images: paths, a folder (its images and those of its subfolders, sorted by path), arrays (H, W, 3) or (H, W) of
                uint8, PIL images, or one of them.
            modality: "rgb" or "ir", what the images are.
            batch_size: images computed at a time.
            normalize: scale each feature to length 1.

        Returns:
            (N, D), in the order of the images.

        Raises:
            FileNotFoundError: an image or a folder that is not there.
            ValueError: no image, one that cannot be read, an unknown modality.
        """
        number = modality_of(modality)
        if batch_size < 1:
            raise ValueError(f"batch size is {batch_size}: compute at least 1 image at a time")
        features = []
        for batch in self._batches(image_list(images), batch_size):
            inputs = self._transforms.normalize(batch.to(self.device, non_blocking=True))
            with torch.autocast(self.device.type, enabled=self.amp):
                embedded = embed(self.model, inputs, number, self.feature, self.flip)
            features.append(embedded.float())
        joined = torch.cat(features)
        return (F.normalize(joined) if normalize else joined).cpu().numpy()

    def _batches(self, images: Sequence[AnyImage], batch_size: int) -> Iterator[Tensor]:
        """uint8 batches (B, 3, H, W); threads decode the next ones while one is computed."""
        starts = range(0, len(images), batch_size)
        ahead: deque[list[Future[Tensor]]] = deque()
        # Threads: Pillow lets go of the interpreter while it decodes, and a gallery's library may not be forked.
        with (
            ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
            progress(None, "extracting features", len(images), unit="image") as bar,
        ):
            try:
                for start in starts:
                    ahead.append([pool.submit(self._read, image) for image in images[start : start + batch_size]])
                    if len(ahead) > 2:
                        yield self._stacked(ahead.popleft(), bar)
                while ahead:
                    yield self._stacked(ahead.popleft(), bar)
            finally:
                pool.shutdown(cancel_futures=True)

    def _read(self, image: AnyImage) -> Tensor:
        if isinstance(image, Image.Image):
            return self._decode(to_8_bits(image).convert("RGB"))
        if isinstance(image, np.ndarray):
            if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
                raise ValueError(
                    f"an image is an array {image.shape} of {image.dtype}: expected (H, W, 3) or (H, W) of uint8"
                )
            return self._decode(Image.fromarray(image).convert("RGB"))
        return self._decode(read_image(os.fspath(image)))

    @staticmethod
    def _stacked(batch: Sequence[Future[Tensor]], bar: tqdm) -> Tensor:
        images = torch.stack([future.result() for future in batch])
        bar.update(len(batch))
        return images


def image_list(images: AnyImage | Sequence[AnyImage]) -> list[AnyImage]:
    """One image, several, or a folder of them, as a list.

    Raises:
        FileNotFoundError: a path that is not there; found before any is read.
        ValueError: no image.
    """
    one = isinstance(images, (str, os.PathLike, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim < 4)
    listed: list[AnyImage] = []
    for image in [images] if one else images:  # type: ignore[list-item,union-attr]
        if isinstance(image, (str, os.PathLike)):
            found = _images_at(Path(image).expanduser())
            listed += found
        else:
            listed.append(image)  # type: ignore[arg-type]
    if not listed:
        raise ValueError("no image was given: name at least one")
    return listed


def _images_at(path: Path) -> list[str]:
    if not path.is_dir():
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: give an image or a folder of images")
        return [str(path)]
    folders = [path, *(folder for folder in path.rglob("*") if folder.is_dir() and not _is_hidden(folder, path))]
    found = sorted(image for folder in folders for image in list_images(folder))
    if not found:
        raise ValueError(f"{path} holds no image: give a folder with .jpg, .jpeg, .png or .bmp files")
    return found


def _is_hidden(folder: Path, top: Path) -> bool:
    return any(part.startswith(".") for part in folder.relative_to(top).parts)


def _fingerprint(model: nn.Module, settings: str) -> str:
    digest = hashlib.blake2b(settings.encode(), digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        if not name.startswith(checkpoint.CLASSIFIER):  # no feature depends on it
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
