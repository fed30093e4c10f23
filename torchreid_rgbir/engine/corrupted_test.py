"""A test whose images are corrupted, repeated with different corruptions."""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from typing import Any

from torchreid_rgbir.data.corrupted_images import CorruptedImages, Corruption
from torchreid_rgbir.data.loading import Loader
from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.protocols.protocol import mean_and_std

logger = logging.getLogger(__name__)


def corrupted_settings(
    corruption: Corruption,
    loaders: Sequence[Any],
    clean: TestFeatures,
    extract: Callable[[Sequence[Any]], TestFeatures],
    score: Callable[[TestFeatures], list[dict]],
) -> list[dict]:
    """Scores a test set with corrupted images.

    Args:
        loaders: of the test images, one modality each.
        clean: their features. Those of corrupted images are replaced.
        extract: returns the features of the images of loaders.
        score: returns the settings of the protocol.

    Returns:
        The settings, each over the trials of all repetitions. The key `corruption` has the fields of `corruption`.
    """
    rounds = []
    for repetition in range(corruption.repeats):
        logger.info("test with corrupted images, repetition %d of %d", repetition + 1, corruption.repeats)
        features = clean.features.copy()
        for loader in loaders:
            modality = loader.dataset.data[0].modality
            if corruption.includes(modality):
                corrupted = extract([_corrupted(loader, corruption.seed, repetition)])
                features[clean.modalities == modality] = corrupted.features
        rounds.append(score(dataclasses.replace(clean, features=features)))
    merged = []
    for settings in zip(*rounds, strict=True):
        trials = [trial for setting in settings for trial in setting["trials"]]
        named = {"corruption": corruption._asdict(), "num_trials": len(trials)}
        merged.append(settings[0] | named | mean_and_std(trials))
    return merged


def _corrupted(loader: Any, seed: int, repetition: int) -> Loader:
    """The same loader with corrupted images."""
    return Loader(
        CorruptedImages(loader.dataset, seed, repetition),
        batch_sampler=loader.batch_sampler,
        num_workers=loader.num_workers,
        pin_memory=loader.pin_memory,
        collate_fn=loader.collate_fn,
    )
