import numpy as np
import pytest

from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import llcm, regdb, standard, sysu_mm01

REPORTS = {
    "sysu_mm01": lambda data, **flags: sysu_mm01.report(data, None, sampling="agw", **flags),
    "regdb": regdb.report,
    "llcm": llcm.report,
    "standard": standard.report,
}


@pytest.fixture
def data():
    """Four identities in cameras 1, 2 (RGB) and 6 (IR): fits every protocol."""
    pids, camids = (a.ravel() for a in np.meshgrid(range(4), (1, 2, 6)))
    return TestFeatures(
        np.random.default_rng(0).standard_normal((12, 3)),
        pids,
        camids,
        np.where(camids == 6, IR, RGB),
        np.ones(12, int),
    )


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_features_that_are_not_finite_never_become_numbers(data, report):
    assert report(data)[0]["num_valid_queries"] == 4
    data.features[5, 1] = np.nan
    with pytest.raises(ValueError, match="features: row 5 holds nan"):
        report(data)


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_unknown_choices(data, report):
    with pytest.raises(ValueError, match="modality 'thermal' is unknown: choose one of rgb, ir"):
        report(data, query="thermal")
    with pytest.raises(ValueError, match="distance 'l1' is unknown: choose one of cosine, euclidean"):
        report(data, distance="l1")


@pytest.mark.parametrize("report", REPORTS.values(), ids=REPORTS)
def test_settings_are_plain_numbers(data, report):
    """What json, and anything else that reads results, can do without numpy."""
    for setting in report(data):
        assert list(setting["mean"]) == list(setting["std"]) == list(setting["trials"][0])
        numbers = [*setting["mean"].values(), *setting["std"].values(), *setting["trials"][0].values()]
        assert {type(number) for number in numbers} == {float}
        assert {type(setting[key]) for key in ("num_trials", "num_queries", "num_valid_queries", "num_gallery")} == {
            int
        }
