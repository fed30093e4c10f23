"""The files of `test.save_features`, beside results.json: the features of a test, and the scores of each query."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.metrics import QueryScores, load_queries, paired_bootstrap, save_features, save_queries

logger = logging.getLogger(__name__)


def features_of(results: Path) -> Path:
    """Returns the file of the features, such as test-features-regdb.npz for test-results-regdb.json."""
    return results.with_name(results.name.replace("results", "features", 1)).with_suffix(".npz")


def queries_of(results: Path) -> Path:
    """Returns the file of the scores, such as queries.csv for results.json."""
    return results.with_name(results.name.replace("results", "queries", 1)).with_suffix(".csv")


def write(engine: CrossModalEngine, dataset: str, results: Path) -> None:
    """Writes both files for the last test of one data set.

    The queries are ranked again for this, so a test without these files takes no longer than before.

    Args:
        engine: after `run`.
        dataset: its name.
        results: the path of results.json, from which the names of both files follow.
    """
    features, options = engine.features[dataset], engine.eval_options
    protocol: Any = engine.test_loader[dataset]["query"].dataset.protocol
    distance = engine.results[dataset]["distance"]
    scores = protocol.score_queries(features, query=options.query, distance=distance, sampling=options.sampling)
    save_queries(queries_of(results), scores)
    save_features(features_of(results), features)
    logger.info("features and the scores of each query: %s, %s", features_of(results), queries_of(results))


def with_queries(results: dict, path: Path) -> dict:
    """Returns the contents of the results.json at `path` with the key `queries`, the file of the scores, if it exists."""
    queries = queries_of(path)
    return results | {"queries": str(queries)} if queries.is_file() else results


def over_identities(ours: Sequence[dict], theirs: Sequence[dict]) -> dict[str, Any]:
    """Compares two methods with `paired_bootstrap`.

    Args:
        ours, theirs: the runs of each method, each with `mean` (measures) and perhaps `queries` (a file).

    Returns:
        The interval. {} if a run has no file of scores. {"error": text} if a file cannot be used or the queries differ.
    """
    if any("queries" not in run for run in (*ours, *theirs)):
        return {}
    try:
        return dict(paired_bootstrap([_load(run) for run in ours], [_load(run) for run in theirs]))
    except (ValueError, FileNotFoundError) as error:
        return {"error": str(error)}


def _load(run: dict) -> QueryScores:
    scores = load_queries(run["queries"])
    mAP, expected = scores.weighted_ap.sum(), run["mean"]["mAP"]
    if abs(mAP - expected) > 1e-9:
        raise ValueError(
            f"{run['queries']} is not from the same test as the results beside it: its mAP is {mAP:.4f}, theirs is "
            f"{expected:.4f}: repeat the test with test.save_features True"
        )
    return scores
