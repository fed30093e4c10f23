import math

import numpy as np
import pytest

from torchreid_rgbir.retrieval import References, ReferenceTable, calibrate
from torchreid_rgbir.retrieval.search import unit


def at(*degrees):
    """Features on a circle: their cosines can be read off."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)


REFERENCES = References(ReferenceTable.of(["a", "b", "c"], ["anna", "bert", "carl"]), at(0, 90, 180))


def cosine(degrees):
    return pytest.approx(math.cos(math.radians(degrees)), abs=1e-6)


def test_a_hand_count():
    """Four images. The nearest reference of a different category is 80, 60, 50 and 85 degrees away."""
    images = at(10, 30, 40, 95)
    categories = np.array(["anna", "anna", "bert", "bert"])
    # bert's image at 40 degrees is 40 from anna, the nearest other category. The one at 95 is 85 from carl.
    found = calibrate(images, categories, REFERENCES, rate=0.25)  # one of four may be identified: the 40, not the 60
    assert found.threshold == cosine(60)
    assert found.threshold > np.float32(math.cos(math.radians(60))) - 1e-6
    assert found.false_match_rate == 0.25
    # anna's images at 10 and 30 and bert's at 95 are identified correctly. The one at 40 is taken for anna.
    assert found.identified == 0.75
    assert found.num_images == 4
    looser = calibrate(images, categories, REFERENCES, rate=0.5)
    assert (looser.threshold, looser.false_match_rate) == (cosine(80), 0.5)


def test_images_without_a_reference_of_their_category():
    found = calibrate(at(10, 100), np.array(["dora", "emil"]), REFERENCES, rate=0.5)
    assert found.false_match_rate <= 0.5
    assert math.isnan(found.identified)


@pytest.mark.parametrize("rate", [0.01, 0.07, 0.29, 0.5, 0.999])
def test_the_lowest_threshold_that_keeps_the_rate(rate):
    rng = np.random.default_rng(0)
    features, labels = rng.standard_normal((300, 8)).astype(np.float32), rng.integers(12, size=300).astype(str)
    references = References(ReferenceTable.of([str(i) for i in range(200)], list(labels[:200])), unit(features[:200]))
    images, categories = features[200:], labels[200:]
    found = calibrate(images, categories, references, rate)
    cosines = unit(images) @ references.features.T
    best_other = np.where(categories[:, None] == references.rows.categories, -2, cosines).max(1)
    passing = np.sort(best_other)[::-1]
    allowed = int(round(1000 * rate)) * 100 // 1000
    assert found.false_match_rate == allowed / 100
    assert passing[allowed] < found.threshold + 1e-6 and found.threshold <= passing[allowed - 1] + 1e-6


def test_equal_scores_pass_together_or_not_at_all():
    found = calibrate(at(10, 10, 10, 60), np.array(["bert"] * 4), REFERENCES, rate=0.5)
    assert found.threshold > np.float32(math.cos(math.radians(10))) - 1e-7
    assert found.false_match_rate == 0


def test_mistakes():
    images, categories = at(10, 20, 30), np.array(["anna"] * 3)
    for rate in (0, 1, -1, 2):
        with pytest.raises(ValueError, match="lies between 0 and 1"):
            calibrate(images, categories, REFERENCES, rate)
    with pytest.raises(ValueError, match="3 images cannot measure a false-match rate of 0.01: give at least 100"):
        calibrate(images, categories, REFERENCES, 0.01)
    alone = References(ReferenceTable.of(["a"], ["anna"]), at(0))
    with pytest.raises(ValueError, match="all references have the category anna"):
        calibrate(images, categories, alone, 0.5)
