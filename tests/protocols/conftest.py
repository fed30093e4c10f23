"""A second, plain-Python reading of the protocols, and small random test sets."""

import statistics

import numpy as np
import pytest

from torchreid_rgbir.metrics import TestFeatures, distances

MEASURES = ("rank1", "rank5", "rank10", "rank20", "mAP", "mINP")


def naive_measures(data, query_rows, gallery_rows, skipped, over_identities, dist):
    """One trial. `skipped(q, g)` tells whether query row q must not see gallery row g; dist[q][g] is looked up by row.

    Returns the measures and the number of valid queries; (None, 0) when none is valid.
    """
    number = data.image_numbers if data.image_numbers is not None else np.zeros(len(data), int)
    per_query = []
    for q in query_rows:
        seen = [g for g in gallery_rows if not skipped(q, g)]
        seen.sort(key=lambda g: (dist[q][g], data.pids[g], data.camids[g], number[g]))
        hits = [bool(data.pids[g] == data.pids[q]) for g in seen]
        if not any(hits):
            continue
        if over_identities:
            listed = []
            for g in seen:
                if data.pids[g] not in listed:
                    listed.append(data.pids[g])
            first = listed.index(data.pids[q]) + 1
        else:
            first = hits.index(True) + 1
        precisions, found = [], 0
        for place, hit in enumerate(hits, start=1):
            if hit:
                found += 1
                precisions.append(found / place)
        last = max(place for place, hit in enumerate(hits, start=1) if hit)
        cmc = [float(first <= rank) for rank in (1, 5, 10, 20)]
        per_query.append([*cmc, sum(precisions) / found, found / last])
    if not per_query:
        return None, 0
    means = [sum(column) / len(per_query) for column in zip(*per_query, strict=True)]
    return dict(zip(MEASURES, means, strict=True)), len(per_query)


def assert_setting(setting, naive_trials, num_queries, num_gallery):
    """A setting's dict says what the naive reading of its trials says."""
    measures = [trial for trial, _ in naive_trials]
    assert setting["num_trials"] == len(naive_trials)
    assert setting["num_queries"] == num_queries
    assert setting["num_gallery"] == num_gallery
    assert {valid for _, valid in naive_trials} == {setting["num_valid_queries"]}
    for ours, theirs in zip(setting["trials"], measures, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-12)
    for key in MEASURES:
        values = [trial[key] for trial in measures]
        assert setting["mean"][key] == pytest.approx(statistics.fmean(values), abs=1e-12)
        assert setting["std"][key] == pytest.approx(statistics.pstdev(values), abs=1e-12)


def random_set(rng, cameras, num_ids=8, max_images=4, absent=0.2, kind="ties", dtype=np.float32):
    """A test set with some folders absent, rows in random order.

    Args:
        cameras: camera -> its modality or modalities.
        kind: "ties": small whole numbers, whose Euclidean distances are exact and often equal; "real": normal features, some twice.
    """
    rows = [
        (pid, camid, modality, number)
        for pid in rng.choice(60, num_ids, replace=False) + 1
        for camid, modalities in cameras.items()
        for modality in ([modalities] if isinstance(modalities, int) else modalities)
        if rng.random() >= absent
        for number in range(1, rng.integers(1, max_images + 1) + 1)
    ]
    pids, camids, modalities, numbers = (np.array(column) for column in zip(*rng.permutation(rows), strict=True))
    if kind == "ties":
        features = rng.integers(0, 3, (len(pids), 3)).astype(dtype)
        features[:, 0] += 1  # no zeros
    else:
        features = rng.standard_normal((len(pids), 5)).astype(dtype)
        features[rng.integers(len(pids), size=3)] = features[0]
    return TestFeatures(features, pids, camids, modalities, numbers)


def all_distances(data, metric, kind):
    """dist[q][g] of all rows: in exact integers where that is possible, else by the package's own distances."""
    if kind == "ties" and metric == "euclidean":
        whole = data.features.astype(int)
        return [[int(((a - b) ** 2).sum()) for b in whole] for a in whole]
    return distances(data.features, data.features, metric).tolist()


@pytest.fixture
def naive():
    """The plain-Python protocol and its helpers (a module of tests cannot be imported by another)."""

    class Naive:
        measures = staticmethod(naive_measures)
        assert_setting = staticmethod(assert_setting)
        random_set = staticmethod(random_set)
        distances = staticmethod(all_distances)

    return Naive
