"""Lets torchreid's data manager, which constructs every data set for training, queries and gallery, list the files once."""

import copy
import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torchreid_rgbir import host
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset


@contextmanager
def listed_once(names: Iterable[str]) -> Iterator[None]:
    """Within the block, torchreid constructs each of these registered data sets once and gets a copy for every mode.

    A data set holds the same three lists in every mode. The copies share them. Python's garbage collection is off in
    the block. Otherwise, it would search all objects of the process several times while the items of 40,000 images are
    made. This takes as long as the listing.
    """
    registered: dict[str, Any] = host.image_datasets()
    classes = {name: registered[name] for name in names}
    registered.update({name: _views(dataset) for name, dataset in classes.items()})
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()
        registered.update(classes)


def _views(dataset: type[CrossModalImageDataset]) -> Callable[..., CrossModalImageDataset]:
    made: list[CrossModalImageDataset] = []

    def view(mode: str, transform: Any = None, verbose: bool = True, **kwargs: Any) -> CrossModalImageDataset:
        if not made:
            made.append(dataset(mode=mode, transform=transform, verbose=verbose, **kwargs))
            return made[0]
        result = copy.copy(made[0])
        result.mode, result.transform, result.data = mode, transform, getattr(result, mode)
        if verbose:
            result.show_summary()
        return result

    return view
