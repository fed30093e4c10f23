"""torchreid's own tools and engines with two modalities: what its tools/ scripts need, and checks of wrong combinations."""

import inspect
import logging
import warnings
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torchreid_rgbir import host
from torchreid_rgbir.data.cross_modal import Item
from torchreid_rgbir.data.listed_once import listed_once
from torchreid_rgbir.data.manager import CrossModalDataManager, is_cross_modal
from torchreid_rgbir.data.unique_names import with_unique_names
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.integration import settings
from torchreid_rgbir.modality import RGB
from torchreid_rgbir.models import TwoStreamNetwork
from torchreid_rgbir.models.dual_timm import DualTimm
from torchreid_rgbir.models.loading import bare_model, load_model

logger = logging.getLogger(__name__)


class PlainDataManager(host.data.ImageDataManager):
    """torchreid's own `ImageDataManager` over RGB-IR data sets, for tools that read images in order and train nothing.

    Images are normalized floats, as in torchreid. The query loader has the RGB images and the gallery loader the IR images:
    `tools/visualize_actmap.py` passes the queries to `model(images)`, which is the RGB stream.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        with listed_once(name for name in host.image_datasets() if is_cross_modal(name)):
            super().__init__(*args, **kwargs)
        tests = [loader for loaders in self.test_loader.values() for loader in loaders.values()]
        for loader in (self.train_loader, *tests):
            loader.dataset.ir_range = settings.current.data.ir_range
        self.links = TemporaryDirectory()
        for number, (name, loaders) in enumerate(self.test_loader.items()):
            if loaders["query"].dataset.query[0].modality != RGB:
                loaders["query"], loaders["gallery"] = loaders["gallery"], loaders["query"]
                logger.warning("%s: the query loader has the RGB images, for which model(images) is correct", name)
            folder = Path(self.links.name) / str(number)
            folder.mkdir()
            queries = loaders["query"].dataset
            queries.data = with_unique_names([Item(*item) for item in queries.data], folder)


def check_feature_extractor() -> None:
    """Makes torchreid's `FeatureExtractor` compare its arguments with a two-stream model's checkpoint.

    It warns about a different image size or normalization, and it uses the last stride of the checkpoint. A checkpoint of a
    different model is a ValueError. torchreid's models are not affected.
    """
    original = host.utils.FeatureExtractor.__init__
    if hasattr(original, "__wrapped__"):
        return
    signature = inspect.signature(original)

    @wraps(original)
    def __init__(self, *args, **kwargs):
        original(self, *args, **kwargs)
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        if isinstance(self.model, TwoStreamNetwork) and Path(bound.arguments["model_path"] or ".").is_file():
            _compare(self, bound.arguments)

    host.utils.FeatureExtractor.__init__ = __init__


def check_engines() -> None:
    """Makes torchreid's image engines refuse RGB-IR batches and models with loss='mso', which they cannot train.

    Subclasses with a `forward_backward` of their own, such as `ImageMSOEngine`, are not affected.
    """
    for engine in (host.engine.ImageSoftmaxEngine, host.engine.ImageTripletEngine):
        if not hasattr(engine.__init__, "__wrapped__"):
            engine.__init__ = _checked_init(engine)


def _checked_init(engine: type) -> Callable[..., None]:
    original, step = engine.__init__, engine.forward_backward  # type: ignore[misc,attr-defined]

    @wraps(original)
    def __init__(self, datamanager, model, *args, **kwargs):
        if type(self).forward_backward is step:
            found = bare_model(model)
            advice = "use torchreid.engine.ImageMSOEngine, or call torchreid_rgbir.install() first"
            if isinstance(found, TwoStreamNetwork) and found.loss == "mso":
                raise ValueError(f"{engine.__name__} cannot train {found.name} with loss='mso': {advice}")
            if isinstance(datamanager, CrossModalDataManager):
                raise ValueError(
                    f"{engine.__name__} trains on images of one modality, and {type(datamanager).__name__} has RGB and IR "
                    f"images: {advice}"
                )
        original(self, datamanager, model, *args, **kwargs)

    return __init__


def _compare(extractor: Any, arguments: dict[str, Any]) -> None:
    path = arguments["model_path"]
    about = checkpoint.load(path).get("about")
    if not about:  # written without the plugin's engines
        return
    model, images = about["model"], about["images"]
    if model["name"] != arguments["model_name"]:
        raise ValueError(
            f"{path} contains a {model['name']}, not a {arguments['model_name']}: pass model_name={model['name']!r}"
        )
    own = extractor.model.options  # torchreid can only build the defaults, for one size of image
    if isinstance(extractor.model, DualTimm) or any(model.get(key, value) != value for key, value in own.items()):
        extractor.model = load_model(path)[0].to(extractor.device)
    trained = {
        "image_size": [images["height"], images["width"]],
        "pixel_mean": [round(value, 6) for value in images["norm_mean"]],
        "pixel_std": [round(value, 6) for value in images["norm_std"]],
    }
    for name, value in trained.items():
        used = arguments[name]
        used = [used, used] if isinstance(used, int) else [round(number, 6) for number in used]
        if used != value and (arguments["pixel_norm"] or name == "image_size"):
            shown = tuple(value)
            warnings.warn(
                f"{path} was trained with {name}={shown}, but FeatureExtractor uses {tuple(used)}, so the features are worse: "
                f"pass {name}={shown}",
                stacklevel=3,
            )
