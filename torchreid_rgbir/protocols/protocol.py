"""What the protocols share: from drawn galleries to the settings that results.json holds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics.distance import DistanceRows
from torchreid_rgbir.metrics.features import TestFeatures
from torchreid_rgbir.metrics.ranking import Scores, Skip, score
from torchreid_rgbir.metrics.rerank import Rerank
from torchreid_rgbir.modality import NAMES


class Setting(NamedTuple):
    """One row of a results table: what names it, and the gallery rows of each of its trials."""

    name: dict
    trials: Sequence[NDArray[np.int64]]


def modality_of(name: str) -> int:
    """The modality called "rgb" or "ir".

    Raises:
        ValueError: it is called neither.
    """
    if name not in NAMES:
        raise ValueError(f"query {name!r} is unknown: choose one of {', '.join(NAMES)}")
    return NAMES.index(name)


def score_settings(
    query: TestFeatures,
    gallery: TestFeatures,
    settings: Sequence[Setting],
    skip: Skip,
    cmc_over_identities: bool,
    distance: str,
    rerank: Rerank | None = None,
) -> list[dict]:
    """Scores all settings from one ranking; distances are computed in blocks, never all at once.

    Args:
        query, gallery, skip, cmc_over_identities: as in `ranking.score`.
        settings: their trials draw from `gallery`.
        distance: "cosine" or "euclidean".
        rerank: adds, after the settings themselves, each of them once more with k-reciprocal re-ranking.

    Returns:
        One dict a setting, as results.json holds them.

    Raises:
        ValueError: an unknown distance, or a setting without any valid query.
    """
    trials = [trial for setting in settings for trial in setting.trials]
    rows = DistanceRows(query.features, gallery.features, distance).rows
    scores = iter(score(query, gallery, trials, rows, skip, cmc_over_identities))
    results = [_result(setting, [next(scores) for _ in setting.trials]) for setting in settings]
    if rerank is not None:
        for setting in settings:
            # A re-ranked distance depends on the whole gallery, so each trial needs its own.
            reranked = []
            for trial in setting.trials:
                drawn = gallery.take(trial)
                own = rerank(query.features, drawn.features, distance)  # (Q, G of the trial)
                reranked += score(query, drawn, [np.arange(len(drawn))], own.__getitem__, skip, cmc_over_identities)
            results.append(_result(setting, reranked) | {"rerank": rerank.settings()})
    return results


def mean_and_std(trials: Sequence[dict[str, float]]) -> dict:
    """The trials' measures, their means and (population) standard deviations, as a setting of results.json holds them."""
    columns = {measure: [trial[measure] for trial in trials] for measure in trials[0]}
    return {
        "mean": {measure: float(np.mean(values)) for measure, values in columns.items()},
        "std": {measure: float(np.std(values)) for measure, values in columns.items()},
        "trials": list(trials),
    }


def _result(setting: Setting, scores: Sequence[Scores]) -> dict:
    try:
        trials = [trial_scores.means() for trial_scores in scores]
    except ValueError as error:
        named = ", ".join(f"{key} {value}" for key, value in setting.name.items())
        raise ValueError(f"{named}: {error}") from None
    return {
        **setting.name,
        "num_trials": len(trials),
        "num_queries": len(scores[0].first),
        "num_valid_queries": scores[0].num_valid,
        "num_gallery": len(setting.trials[0]),
        **mean_and_std(trials),
    }
