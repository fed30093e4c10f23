"""Speed of gallery search: exact over 100,000 images, and with and without LanceDB's index over a million."""

import tempfile
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.benchmark.timing import interleave, medians, pair_ratios, spread
from torchreid_rgbir.retrieval import Filter, Gallery, ReferenceTable

DIM, K = 512, 10
IMAGES_PER_CATEGORY = 50
NOISE = (
    0.8  # length of the noise added to a category's center of length 1; two images of a category have a cosine of 0.61
)
NUM_CAMERAS = 6
ONE_CAMERA = Filter(cameras=[1])
COMMIT_ROWS = 50_000
NUM_ALONE = 100  # enough that the start of a turn, when threads of the other library still wait busily, hardly counts


def search(rounds: int = 3, num_exact: int = 100_000, num_indexed: int = 1_000_000, num_queries: int = 200) -> dict:
    """Writes two galleries of clustered features to a temporary folder and times searches in them.

    It takes a quarter of an hour on two cores, mostly to build the index, 6 GB of disk and 6 GB of memory.

    Args:
        rounds: The number of timed rounds, each with 128 queries in batches of 64 and 64 single queries (100 in the
            larger gallery).
        num_exact: The number of images in the first gallery.
        num_indexed: The number of images in the second gallery.
        num_queries: The number of queries that recall is measured with.

    Returns:
        "ratios": search_exact_over_index, how many times faster the index is for one query, and the same with
        "_filtered". "spread": smallest and largest of each. "medians": seconds per query, or for opening, adding and
        indexing. "recalls": the share of the 10 nearest images that the index finds. "memory": bytes of the index on
        the disk.
    """
    with tempfile.TemporaryDirectory(prefix="torchreid-rgbir-search-") as folder:
        result = _exact(Path(folder) / "exact", rounds, num_exact)
        for key, part in _indexed(Path(folder) / "indexed", rounds, num_indexed, num_queries).items():
            result.setdefault(key, {}).update(part)
    return result


def centers_of(num: int) -> NDArray[np.float32]:
    """Returns random category centers (C, 512) of length 1 for `num` images."""
    num_categories = max(1, num // IMAGES_PER_CATEGORY)
    return _unit(np.random.default_rng(0).standard_normal((num_categories, DIM), np.float32))


def sample(centers: NDArray[np.float32], num: int, rng: np.random.Generator) -> tuple[NDArray, NDArray[np.float32]]:
    """Returns random categories (num,) and features (num, 512) around their centers."""
    categories = rng.integers(len(centers), size=num)
    return categories, _unit(centers[categories] + NOISE / DIM**0.5 * rng.standard_normal((num, DIM), np.float32))


def fill(where: Path, num: int) -> None:
    """Creates a gallery of `num` images."""
    gallery, centers, rng = Gallery.create(where, "0" * 32, DIM, "rgb"), centers_of(num), np.random.default_rng(1)
    for start in range(0, num, COMMIT_ROWS):
        categories, features = sample(centers, min(COMMIT_ROWS, num - start), rng)
        paths = [f"{category}/{start + i}.jpg" for i, category in enumerate(categories)]
        cameras = rng.integers(1, NUM_CAMERAS + 1, len(paths)).tolist()
        gallery.add(features, ReferenceTable.of(paths, [str(category) for category in categories], cameras))


def _exact(where: Path, rounds: int, num: int) -> dict:
    fill(where, num)
    _, queries = sample(centers_of(num), 64, np.random.default_rng(2))
    gallery = Gallery.open(where)

    def opened() -> None:
        Gallery.open(where).search(queries[:1], K)

    def in_batches(filtered: Filter) -> None:
        for _ in range(2):
            gallery.search(queries, K, filtered)

    def alone(filtered: Filter) -> None:
        for query in queries:
            gallery.search(query[None], K, filtered)

    seconds = interleave(
        {
            "open": opened,
            "batches": lambda: in_batches(Filter()),
            "batches_filtered": lambda: in_batches(ONE_CAMERA),
            "alone": lambda: alone(Filter()),
            "alone_filtered": lambda: alone(ONE_CAMERA),
        },
        rounds,
    )
    each = {"open": 1, "batches": 128, "batches_filtered": 128, "alone": 64, "alone_filtered": 64}
    return {"medians": {f"search_{num}_{name}": value / each[name] for name, value in medians(seconds).items()}}


def _indexed(where: Path, rounds: int, num: int, num_queries: int) -> dict:
    filling = interleave({"add": lambda: fill(where, num)}, 1, warmup=0)
    gallery = Gallery.open(where)
    indexing = interleave({"index": lambda: gallery.compact(index=True)}, 1, warmup=0)
    result = compare(gallery, rounds, sample(centers_of(num), num_queries, np.random.default_rng(2))[1])
    timed = result["medians"] | medians({**filling, **indexing})
    index = sum(path.stat().st_size for path in where.rglob("_indices/**/*") if path.is_file())
    return result | {
        "medians": {f"search_{num}_{name}": value for name, value in timed.items()},
        "memory": {"search_index_on_disk": index},
    }


def compare(gallery: Gallery, rounds: int, queries: NDArray[np.float32]) -> dict:
    """Compares exact search and the index in one gallery.

    The figures have the names of `search`, the medians are seconds per query.
    """
    kinds = {"": Filter(), "_filtered": ONE_CAMERA}

    def alone(filtered: Filter, exact: bool) -> None:
        for query in queries[:NUM_ALONE]:
            gallery.search(query[None], K, filtered, exact=exact)

    candidates = {
        f"{side}{kind}": lambda filtered=filtered, side=side: alone(filtered, side == "exact")
        for kind, filtered in kinds.items()
        for side in ("exact", "index")
    }
    seconds = interleave(candidates, rounds)
    result: dict[str, dict] = {"ratios": {}, "spread": {}, "recalls": {}, "medians": {}}
    for kind, filtered in kinds.items():
        ratios = pair_ratios(seconds, f"exact{kind}", f"index{kind}")
        result["ratios"][f"search_exact_over_index{kind}"] = median(ratios)
        result["spread"][f"search_exact_over_index{kind}"] = spread(ratios)
        nearest, found = (gallery.search(queries, K, filtered, exact=exact) for exact in (True, False))
        result["recalls"][f"search_index{kind}"] = float(
            np.mean([len({m.path for m in a} & {m.path for m in b}) / K for a, b in zip(nearest, found, strict=True)])
        )
    result["medians"] = {f"{name}_alone": value / len(queries[:NUM_ALONE]) for name, value in medians(seconds).items()}
    return result


def _unit(features: NDArray[np.float32]) -> NDArray[np.float32]:
    return features / np.linalg.norm(features, axis=1, keepdims=True)
