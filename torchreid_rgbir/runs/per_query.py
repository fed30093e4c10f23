"""The files of `test.save_features`, beside results.json: the features of a test, and the scores of each query."""

import logging
from pathlib import Path
from typing import Any

from torchreid_rgbir.engine import CrossModalEngine
from torchreid_rgbir.metrics import save_features, save_queries

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
