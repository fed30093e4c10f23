"""The base of every protocol: it scores the features of a test set in all of the protocol's settings."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from torchreid_rgbir.metrics import ranking
from torchreid_rgbir.metrics.distance import DistanceRows
from torchreid_rgbir.metrics.features import TestFeatures, check_features, check_labels
from torchreid_rgbir.metrics.queries import QueryScores
from torchreid_rgbir.metrics.rerank import Rerank
from torchreid_rgbir.metrics.tracks import mean_of_tracks
from torchreid_rgbir.modality import IR, NAMES, RGB
from torchreid_rgbir.terminal import progress


class Setting(NamedTuple):
    """One row of a results table.

    Attributes:
        name: the keys that identify the row in results.json.
        modality: the modality of the queries; the gallery has the other one.
        trials: the rows of the gallery that each trial draws, ascending.
    """

    name: dict
    modality: int
    trials: Sequence[NDArray[np.int64]]


class Protocol(ABC):
    """The rules of an evaluation: how galleries are drawn, which gallery images a query ignores, and what CMC counts.

    A subclass defines `settings`, and `ignored` if a query ignores gallery images. Junk images, with negative identities, are neither
    queries nor gallery images, as in Market-1501. The results contain their number. If the images have tracks, every protocol scores
    the mean feature of each track. If they have roles, queries and gallery images are different ones.

    Attributes:
        cmc_over_identities: each identity counts once in a ranked list, at its best-ranked image. Otherwise every image counts.
        why_ignored: completes "every match is ignored because ..." in an error, and says what to do.
    """

    cmc_over_identities = False
    why_ignored = "the protocol ignores them"

    @abstractmethod
    def settings(self, labels: TestFeatures, query: str, sampling: str) -> list[Setting]:
        """Draws the galleries of every setting.

        Args:
            labels: every test image (or track) of both modalities, checked, without features.
            query: "ir" or "rgb", the modality of the queries, or of the first direction's queries.
            sampling: how galleries are drawn, if the protocol leaves a choice.

        Raises:
            FileNotFoundError, ValueError: the labels do not fit the protocol.
        """

    @staticmethod
    def ignored(pid: int, camid: int, gallery: TestFeatures) -> NDArray[np.bool_]:
        """A mask of the gallery images (G,) that a query of this identity and camera ignores; none, unless a subclass says otherwise."""
        return np.zeros(len(gallery), bool)

    def score(
        self,
        features: TestFeatures,
        *,
        query: str = "ir",
        distance: str = "cosine",
        sampling: str = "official",
        rerank: Rerank | None = None,
    ) -> list[dict]:
        """Scores a test set in every setting of the protocol.

        All trials of a direction come from one ranking. Distances are computed in blocks, never all at once.

        Args:
            features: every test image of both modalities.
            query, sampling: as in `settings`.
            distance: "cosine" or "euclidean".
            rerank: adds each setting once more with k-reciprocal re-ranking among the queries and the trial's complete gallery.

        Returns:
            The settings' dicts as in results.json, the headline first; measures are fractions.

        Raises:
            FileNotFoundError: a file that the protocol draws from is missing.
            ValueError: the input is invalid, or no query of a setting has a match.
        """
        every = check_features(features)
        features = _without_junk(every)
        num_junk = len(every) - len(features)
        features = mean_of_tracks(features)
        plain, reranked = [], []
        settings = self._checked_settings(features.labels, query, sampling)
        for modality, direction in itertools.groupby(settings, key=lambda setting: setting.modality):
            rows = list(direction)
            queries, gallery = features.queries(modality), features.gallery(1 - modality)
            trials = [trial for setting in rows for trial in setting.trials]
            dist = DistanceRows(queries.features, gallery.features, distance).rows
            scores = iter(ranking.score(queries, gallery, trials, dist, self.ignored, self.cmc_over_identities))
            for setting in rows:
                plain.append(_result(setting, [next(scores) for _ in setting.trials], num_junk))
                if rerank is not None:
                    scored = self._reranked(setting, queries, gallery, distance, rerank)
                    reranked.append(_result(setting, scored, num_junk) | {"rerank": rerank.settings()})
        return plain + reranked

    def score_queries(
        self, features: TestFeatures, *, query: str = "ir", distance: str = "cosine", sampling: str = "official"
    ) -> QueryScores:
        """Scores each query in the first setting, the headline of `score`, whose measures are the means of these scores.

        Args:
            features, query, distance, sampling: as in `score`. The features have paths.

        Raises:
            FileNotFoundError, ValueError: as `score`.
        """
        if features.paths is None:
            raise ValueError("the features have no paths, which name the queries")
        features = mean_of_tracks(_without_junk(check_features(features)))
        setting = self._checked_settings(features.labels, query, sampling)[0]
        queries, gallery = features.queries(setting.modality), features.gallery(1 - setting.modality)
        dist = DistanceRows(queries.features, gallery.features, distance).rows
        scores = ranking.score(queries, gallery, setting.trials, dist, self.ignored, self.cmc_over_identities)
        return QueryScores(queries.pids, queries.camids, np.asarray(queries.paths), scores)

    def _reranked(
        self, setting: Setting, queries: TestFeatures, gallery: TestFeatures, distance: str, rerank: Rerank
    ) -> list[ranking.Scores]:
        scores = []
        for trial in setting.trials:
            # A re-ranked distance depends on the complete gallery, so each trial needs its own.
            drawn = gallery.take(trial)
            dist = rerank(queries.features, drawn.features, distance, progress)  # (Q, G of the trial)
            every = [np.arange(len(drawn))]
            scores += ranking.score(queries, drawn, every, dist.__getitem__, self.ignored, self.cmc_over_identities)
        return scores

    def check(self, labels: TestFeatures, *, query: str = "ir", sampling: str = "official") -> None:
        """Draws every gallery and ranks nothing, so that what would fail in a test fails before the training.

        Args:
            labels: every test image of both modalities; features are not looked at.
            query, sampling: as in `settings`.

        Raises:
            FileNotFoundError, ValueError: as `score`.
        """
        self._checked_settings(mean_of_tracks(_without_junk(check_labels(labels))), query, sampling)

    def _checked_settings(self, labels: TestFeatures, query: str, sampling: str) -> list[Setting]:
        settings = self.settings(labels, query, sampling)
        for setting in settings:
            self._check_matches(setting, labels)
        return settings

    def _check_matches(self, setting: Setting, labels: TestFeatures) -> None:
        """Checks that every trial has a query with a match; without one there is nothing to measure."""
        queries, gallery = labels.queries(setting.modality), labels.gallery(1 - setting.modality)
        unmatched, has_ignored = setting.trials, False
        for pid, camid in dict.fromkeys(zip(queries.pids.tolist(), queries.camids.tolist(), strict=True)):
            matches, ignored = gallery.pids == pid, self.ignored(pid, camid, gallery)  # (G,)
            has_ignored |= bool((matches & ignored).any())
            unmatched = [trial for trial in unmatched if not (matches & ~ignored)[trial].any()]
            if not unmatched:
                return
        name = ", ".join(f"{key} {value}" for key, value in setting.name.items())
        problem = f"{name}: none of the {len(queries)} queries has a match in the gallery, so nothing can be measured"
        if has_ignored:
            raise ValueError(
                f"{problem}. Every gallery image with a query's identity is ignored because {self.why_ignored}"
            )
        raise ValueError(f"{problem}: check pids, camids and modalities")


def _without_junk(data: TestFeatures) -> TestFeatures:
    """The rows with identities; fails if one modality has none, before anything else about the labels is reported."""
    kept = data.without_junk()
    for modality in (RGB, IR):
        if (data.modalities == modality).any() and not (kept.modalities == modality).any():
            raise ValueError(
                f"pids: every {NAMES[modality]} image has a negative identity, which marks junk: check pids"
            )
        kept.of(modality)
    return kept


def mean_and_std(trials: Sequence[dict[str, float]]) -> dict:
    """The trials' measures, their means and (population) standard deviations, as a setting of results.json holds them."""
    columns = {measure: [trial[measure] for trial in trials] for measure in trials[0]}
    return {
        "mean": {measure: float(np.mean(values)) for measure, values in columns.items()},
        "std": {measure: float(np.std(values)) for measure, values in columns.items()},
        "trials": list(trials),
    }


def _result(setting: Setting, scores: Sequence[ranking.Scores], num_junk: int) -> dict:
    trials = [trial_scores.means() for trial_scores in scores]
    return {
        **setting.name,
        "num_trials": len(trials),
        "num_queries": len(scores[0].first_match_rank),
        "num_valid_queries": scores[0].num_valid,
        "num_gallery": len(setting.trials[0]),
        "num_junk": num_junk,
        **mean_and_std(trials),
    }
