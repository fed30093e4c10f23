import dataclasses

import numpy as np
import pytest

from torchreid_rgbir.metrics import Rerank, TestFeatures, ranking
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import (
    LLCMProtocol,
    RegDBProtocol,
    StandardProtocol,
    SYSUMM01Protocol,
    llcm,
    protocol,
    regdb,
    standard,
    sysu_mm01,
)

REPORTS = {
    "sysu_mm01": lambda data, **flags: sysu_mm01.report(data, None, sampling="agw", **flags),
    "regdb": regdb.report,
    "llcm": llcm.report,
    "standard": standard.report,
}
PROTOCOLS = [SYSUMM01Protocol(), RegDBProtocol(), LLCMProtocol(), StandardProtocol()]


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


@pytest.mark.parametrize("name", REPORTS)
def test_every_choice_changes_the_report(data, name):
    report = REPORTS[name]
    if name == "sysu_mm01":
        data.camids[data.camids == 6] = 3  # indoor galleries of RGB queries need it
    choices = {"query": "rgb", "distance": "euclidean", "rerank": Rerank(3, 2, 0.3)}
    scored = report(data, **choices)
    for choice, default in {"query": "ir", "distance": "cosine", "rerank": None}.items():
        assert scored != report(data, **choices | {choice: default}), choice


@pytest.mark.parametrize("tested", PROTOCOLS, ids=list(REPORTS))
def test_the_scores_of_queries_average_to_the_headline(naive, tested):
    rng = np.random.default_rng(4)
    third = 5 if isinstance(tested, LLCMProtocol) else 3  # LLCM has no IR camera 3
    data = naive.random_set(rng, {1: RGB, 2: RGB, third: IR, 6: IR}, num_ids=12, absent=0.3)
    data = data.take(
        (data.pids != data.pids[data.modalities == IR][0]) | (data.modalities == IR)
    )  # a query without a match
    data = dataclasses.replace(data, paths=np.array([f"{row}.jpg" for row in range(len(data))]))
    for query, distance in (("ir", "euclidean"), ("rgb", "cosine")):
        options = {"query": query, "distance": distance, "sampling": "agw"}
        headline, queries = tested.score(data, **options)[0], tested.score_queries(data, **options)
        assert len(queries.pids) == headline["num_queries"]
        assert query == "rgb" or (queries.weights > 0).sum() == headline["num_valid_queries"] < len(queries.pids)
        assert [trial.means() for trial in queries.trials] == headline["trials"]
        assert queries.weighted_ap.sum() == pytest.approx(headline["mean"]["mAP"], abs=1e-12)
        rows = [int(path.removesuffix(".jpg")) for path in queries.paths]
        np.testing.assert_array_equal(data.pids[rows], queries.pids)
        np.testing.assert_array_equal(data.camids[rows], queries.camids)
    with pytest.raises(ValueError, match="the features have no paths"):
        tested.score_queries(dataclasses.replace(data, paths=None), sampling="agw")


@pytest.mark.parametrize("tested", PROTOCOLS, ids=list(REPORTS))
class TestCheck:
    """`check` raises what `score` would raise."""

    def test_it_ranks_nothing(self, data, tested, monkeypatch):
        def fail(*args):
            raise AssertionError("a check computed a distance or a ranking")

        monkeypatch.setattr(protocol, "DistanceRows", fail)
        monkeypatch.setattr(ranking, "score", fail)
        tested.check(data.labels, sampling="agw")
        with pytest.raises(AssertionError, match="a check computed"):
            tested.score(data, sampling="agw")

    @pytest.mark.parametrize("query", ["ir", "rgb"])
    @pytest.mark.parametrize(
        "column, rows, value",
        [
            ("camids", [2], 9),
            ("modalities", range(12), RGB),
            ("modalities", [2], 7),
            ("image_numbers", [0], 2),
            ("image_numbers", [0], 0),
            ("pids", range(8, 12), 77),  # no IR image has a match
            ("pids", [2, 8], 77),
            ("camids", range(12), 1),
        ],
    )
    def test_what_fails_in_the_test_fails_in_the_check(self, data, tested, query, column, rows, value):
        getattr(data, column)[list(rows)] = value
        try:
            tested.score(data, query=query, sampling="agw")
        except ValueError as error:
            with pytest.raises(ValueError) as caught:
                tested.check(data.labels, query=query, sampling="agw")
            assert str(caught.value) == str(error)
        else:
            tested.check(data.labels, query=query, sampling="agw")

    def test_labels_of_the_wrong_length(self, data, tested):
        with pytest.raises(ValueError, match="camids: shape"):
            tested.check(dataclasses.replace(data.labels, camids=data.camids[1:]), sampling="agw")


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("rerank", [None, Rerank(3, 2, 0.3)])
def test_junk_images_are_excluded_and_counted(data, name, rerank):
    """Market-1501's label -1. Label 0 is a distractor and stays."""
    without = REPORTS[name](data, rerank=rerank)
    assert {setting["num_junk"] for setting in without} == {0}
    junk = data.take(np.array([0, 1, 2, 5, 8]))
    junk = dataclasses.replace(junk, pids=np.array([-1, -1, -1, -7, -1]))
    columns = [field.name for field in dataclasses.fields(data) if getattr(data, field.name) is not None]
    both = TestFeatures(*(np.concatenate([getattr(junk, column), getattr(data, column)]) for column in columns))
    scored = REPORTS[name](both, rerank=rerank)
    assert scored == [setting | {"num_junk": 5} for setting in without]
    PROTOCOLS[list(REPORTS).index(name)].check(both.labels, sampling="agw")


def test_a_modality_with_nothing_but_junk(data):
    data.pids[data.modalities == IR] = -1
    for report in REPORTS.values():
        with pytest.raises(ValueError, match="every ir image has a negative identity"):
            report(data)


def test_one_camera_number_for_both_modalities_is_explained(data):
    data.camids[:] = 1
    for report, number in ((standard.report, 4), (llcm.report, 4)):
        data.image_numbers[:] = np.repeat([1, 2, 1], 4)  # two RGB images of each identity, one IR image
        with pytest.raises(
            ValueError, match=f"none of the {number} queries .* it has the query's camera number"
        ) as error:
            report(data)
        assert "\n" not in str(error.value)
    assert regdb.report(data)[0]["num_valid_queries"] == 4


@pytest.mark.parametrize("num_rgb, num_ir", [(1, 1), (1, 3), (3, 1), (2, 2)])
@pytest.mark.parametrize("pids", ["one", "each"])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-15, 1e15])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
def test_degenerate_sets_are_scored(num_rgb, num_ir, pids, value, distance):
    """One image, one identity and equal features: equal distances are ranked by identity."""
    numbers = np.concatenate([np.arange(num_rgb), np.arange(num_ir)])
    rows = TestFeatures(
        np.full((num_rgb + num_ir, 4), value, np.float32),
        np.zeros_like(numbers) if pids == "one" else numbers,
        np.zeros_like(numbers),
        np.repeat([RGB, IR], [num_rgb, num_ir]),
    )
    plain, reranked = standard.report(rows, distance=distance, rerank=Rerank(20, 6, 0.3))
    matched = [pid for pid in rows.pids[num_rgb:] if pids == "one" or pid < num_rgb]
    places = [1 if pids == "one" else pid + 1 for pid in matched]
    assert plain["num_valid_queries"] == len(matched)
    assert plain["mean"]["mAP"] == np.mean([1 / place for place in places])
    assert reranked["mean"] == plain["mean"]
