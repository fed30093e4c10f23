"""Speed of gallery search: exact over 100,000 images, and with and without LanceDB's index over a million."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.benchmark.timing import figures, interleave, merge
from torchreid_rgbir.retrieval import Filter, Gallery, ReferenceTable
from torchreid_rgbir.retrieval.search import unit

DIM, K = 512, 10
IMAGES_PER_CATEGORY = 50
# Length of the noise that is added to a category's center of length 1. Two images of a category have a cosine of 0.61.
NOISE = 0.8
NUM_CAMERAS = 6
FILTERS = {"": Filter(), "_filtered": Filter(cameras=[1])}
COMMIT_ROWS = 50_000
NUM_ALONE = 100  # enough that the start of a turn, when threads of the other library still wait busily, hardly counts


def search(rounds: int = 3, num_exact: int = 100_000, num_indexed: int = 1_000_000, num_queries: int = 200) -> dict:
    """Writes two galleries of clustered features to a temporary folder and times searches in them.

    It takes a quarter of an hour on two cores, mostly to build the index, 6 GB of disk and 6 GB of memory.

    Args:
        rounds: of 128 queries in batches of 64 and 64 single queries (100 in the larger gallery).
        num_exact, num_indexed: images in the two galleries.
        num_queries: that recall is measured with.

    Returns:
        See `figures`. The ratios are search_exact_over_index, how many times faster the index is for one query, and the
        same with "_filtered". "medians": seconds per query, or for opening, adding and indexing. "recalls": the share of
        the 10 nearest images that the index finds. "memory": bytes of the index on the disk. "limits": for batches of the
        exact search, the time of the matrix product per query.
    """
    with tempfile.TemporaryDirectory(prefix="torchreid-rgbir-search-") as folder:
        measured = _exact(Path(folder) / "exact", rounds, num_exact)
        merge(measured, _indexed(Path(folder) / "indexed", rounds, num_indexed, num_queries))
    return measured


def centers_of(num: int) -> NDArray[np.float32]:
    """Returns random category centers (C, 512) of length 1 for `num` images."""
    num_categories = max(1, num // IMAGES_PER_CATEGORY)
    return unit(np.random.default_rng(0).standard_normal((num_categories, DIM), np.float32))


def sample(centers: NDArray[np.float32], num: int, rng: np.random.Generator) -> tuple[NDArray, NDArray[np.float32]]:
    """Returns random categories (num,) and features (num, 512) around their centers."""
    categories = rng.integers(len(centers), size=num)
    return categories, unit(centers[categories] + NOISE / DIM**0.5 * rng.standard_normal((num, DIM), np.float32))


def _fill(where: Path, num: int) -> None:
    gallery, centers, rng = Gallery.create(where, "0" * 32, DIM, "rgb"), centers_of(num), np.random.default_rng(1)
    for start in range(0, num, COMMIT_ROWS):
        categories, features = sample(centers, min(COMMIT_ROWS, num - start), rng)
        paths = [f"{category}/{start + i}.jpg" for i, category in enumerate(categories)]
        cameras = rng.integers(1, NUM_CAMERAS + 1, len(paths)).tolist()
        gallery.add(features, ReferenceTable.of(paths, [str(category) for category in categories], cameras))


def _alone(gallery: Gallery, queries: NDArray, where: Filter, exact: bool | None = None) -> None:
    for query in queries:
        gallery.search(query[None], K, where, exact=exact)


def _exact(folder: Path, rounds: int, num: int) -> dict:
    _fill(folder, num)
    _, queries = sample(centers_of(num), 64, np.random.default_rng(2))
    gallery = Gallery.open(folder)

    def in_batches(where: Filter) -> None:
        for _ in range(2):
            gallery.search(queries, K, where)

    features = np.ones((num, DIM), np.float32)
    num_searched = {"open": 1, "product": len(queries)}
    candidates: dict[str, Callable[[], object]] = {"open": lambda: Gallery.open(folder).search(queries[:1], K)}
    candidates["product"] = lambda: queries @ features.T
    for kind, where in FILTERS.items():
        num_searched |= {f"batches{kind}": 2 * len(queries), f"alone{kind}": len(queries)}
        candidates |= {f"batches{kind}": partial(in_batches, where)}
        candidates |= {f"alone{kind}": partial(_alone, gallery, queries, where)}
    seconds = figures(interleave(candidates, rounds), {})["medians"]
    medians = {f"search_{num}_{name}": value / num_searched[name] for name, value in seconds.items()}
    limit = medians.pop(f"search_{num}_product")
    return {"medians": medians, "limits": {f"search_{num}_batches": (limit, "one matrix product")}}


def _indexed(folder: Path, rounds: int, num: int, num_queries: int) -> dict:
    once = interleave({"add": lambda: _fill(folder, num)}, 1, warmup=0)
    gallery = Gallery.open(folder)
    once |= interleave({"index": lambda: gallery.compact(index=True)}, 1, warmup=0)
    _, queries = sample(centers_of(num), num_queries, np.random.default_rng(2))
    single = queries[:NUM_ALONE]
    candidates, pairs, recalls = {}, {}, {}
    for kind, where in FILTERS.items():
        candidates[f"exact{kind}"] = partial(_alone, gallery, single, where, exact=True)
        candidates[f"index{kind}"] = partial(_alone, gallery, single, where, exact=False)
        pairs[f"search_exact_over_index{kind}"] = f"exact{kind}", f"index{kind}"
    measured = figures(interleave(candidates, rounds), pairs)
    for kind, where in FILTERS.items():
        nearest, found = (gallery.search(queries, K, where, exact=exact) for exact in (True, False))
        common = [len({m.path for m in a} & {m.path for m in b}) / K for a, b in zip(nearest, found, strict=True)]
        recalls[f"search_index{kind}"] = float(np.mean(common))
    timed = {f"{name}_alone": value / len(single) for name, value in measured["medians"].items()}
    timed |= {name: seconds for name, (seconds,) in once.items()}
    index = sum(path.stat().st_size for path in folder.rglob("_indices/**/*") if path.is_file())
    return measured | {
        "medians": {f"search_{num}_{name}": value for name, value in timed.items()},
        "recalls": recalls,
        "memory": {"search_index_on_disk": index},
    }
