"""Results made by hand beside published rows."""

import json

import pytest

from torchreid_rgbir.doctor.official_counts import GALLERY, LAYOUTS, QUERY
from torchreid_rgbir.runs.published import COUNTS, ROWS
from torchreid_rgbir.runs.reproduction import compare, read_results


def sysu(rank1=0.4750, mAP=0.4765, mINP=0.3530, **changes):
    setting = {"search": "all", "shots": 1, "sampling": "agw", "num_trials": 10, "num_queries": 3803}
    setting |= {"num_valid_queries": 3803, "num_gallery": 301, "mean": {"rank1": rank1, "mAP": mAP, "mINP": mINP}}
    return setting | changes


def results(*settings, dataset="sysu_mm01", **changes):
    made = {"dataset": dataset, "query": "ir", "feature": "bn", "distance": "cosine", "flip": False}
    return made | {"normalize_feature": False, "settings": list(settings)} | changes


def regdb(direction="visible->thermal", **changes):
    setting = {"split": None, "splits": list(range(1, 11)), "direction": direction, "num_trials": 10}
    setting |= {"num_queries": 2060, "num_gallery": 2060, "mean": {"rank1": 0.7005, "mAP": 0.6637, "mINP": 0.5019}}
    return setting | changes


def llcm(direction, rank1, mAP):
    return {
        "direction": direction,
        "num_queries": 7000,
        "num_gallery": 1000,
        "num_trials": 10,
        "mean": {"rank1": rank1, "mAP": mAP, "mINP": 0.3},
    }


@pytest.mark.parametrize(
    ("rank1", "mAP", "differences", "verdicts", "verdict"),
    [
        (0.4750, 0.4765, (0, 0), ("within", "within"), "within"),
        (0.4850, 0.4665, (1, -1), ("within", "within"), "within"),  # at the tolerance
        (0.4851, 0.4765, (1.01, 0), ("above", "within"), "above"),
        (0.4649, 0.4765, (-1.01, 0), ("below", "within"), "below"),
        (0.6000, 0.4000, (12.5, -7.65), ("above", "below"), "below"),  # one better, one worse
    ],
)
def test_within_below_above_and_by_how_much(rank1, mAP, differences, verdicts, verdict):
    [found] = compare(results(sysu(rank1, mAP)), "AGW")
    assert (found.differences["rank1"], found.differences["mAP"]) == differences
    assert (found.verdicts["rank1"], found.verdicts["mAP"]) == verdicts
    assert found.verdict == verdict and found.notes == []


def test_the_tolerance_is_in_points():
    assert compare(results(sysu(0.50)), "agw", tolerance=2.5)[0].verdict == "within"
    assert compare(results(sysu(0.50)), "agw", tolerance=2.49)[0].verdict == "above"
    assert compare(results(sysu()), "agw", tolerance=0)[0].verdict == "within"
    for tolerance in (-1, 100, float("nan")):
        with pytest.raises(ValueError, match="points is out of range"):
            compare(results(sysu()), tolerance=tolerance)


def test_mINP_is_compared_where_it_is_published():
    compared = {found.row.method: set(found.differences) for found in compare(results(sysu()))}
    assert compared["AGW"] == {"rank1", "mAP", "mINP"} and compared["MMN"] == {"rank1", "mAP"}
    assert compare(results(sysu(mINP=0.30)), "AGW")[0].verdicts["mINP"] == "below"


def test_the_row_is_that_of_the_setting_and_the_re_ranking():
    rerank = {"k1": 40, "k2": 35, "lambda": 0.1}
    multi, indoor = sysu(shots=10, num_gallery=3010), sysu(search="indoor", num_gallery=112)
    found = compare(results(sysu(), multi, indoor, sysu(0.9, 0.9, rerank=rerank)))
    assert [f.row.method for f in found if "rerank" in f.setting] == ["CEIL", "MCJA"]
    assert "MCJA" not in [f.row.method for f in found if "rerank" not in f.setting]
    assert all((f.setting["search"], f.setting["shots"]) == ("all", 1) for f in found)
    with pytest.raises(ValueError, match="there is no row of AGW for re-ranked results of all-search, single-shot"):
        compare(results(sysu(rerank=rerank)), "AGW")
    with pytest.raises(ValueError, match="there is no row of MCJA for results without re-ranking"):
        compare(results(sysu()), "MCJA")
    with pytest.raises(ValueError, match="there is no row for results without re-ranking of indoor-search, multi-shot"):
        compare(results(sysu(search="indoor", shots=10, num_gallery=1120)))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            sysu(num_queries=450, num_gallery=300),
            "has 450 queries and a gallery of 300, but SYSU-MM01 has 3803 and 301",
        ),
        (sysu(num_gallery=300), "the data set is a different one, incomplete or synthetic"),
        (sysu(query="rgb"), "RGB queries is not defined"),
        (sysu(corruption={"images": "rgb", "seed": 0, "repeats": 10}), "has corrupted images .test.corruption."),
    ],
)
def test_other_data_is_not_compared(settings, says):
    with pytest.raises(ValueError, match=says):
        compare(results(settings), "AGW")


def test_of_many_settings_that_do_not_compare_the_first_is_told():
    with pytest.raises(ValueError, match=r"^nothing to compare: all-search, single-shot has 9 queries.* \(and 1 more"):
        compare(results(sysu(num_queries=9), sysu(num_queries=9, shots=10)))


def test_regdb_is_the_mean_of_ten_splits_in_the_published_direction():
    [found] = compare(results(regdb("thermal->visible"), regdb(), regdb(split=1, splits=None), dataset="regdb"), "AGW")
    assert found.setting["direction"] == "visible->thermal" and found.verdict == "within"
    with pytest.raises(ValueError, match="is the result of one split, but published numbers are means of 10 splits"):
        compare(results({k: v for k, v in regdb(split=1).items() if k != "splits"}, dataset="regdb"), "AGW")
    with pytest.raises(ValueError, match="is the mean of 3 splits"):
        compare(results(regdb(splits=[1, 2, 3]), dataset="regdb"), "AGW")
    with pytest.raises(ValueError, match="there is no row of AGW for results without re-ranking of thermal->visible"):
        compare(results(regdb("thermal->visible"), dataset="regdb"), "AGW")


def test_llcm_directions_have_rows_of_their_own_and_its_counts_are_unknown():
    both = results(llcm("nir->vis", 0.4913, 0.5580), llcm("vis->nir", 0.6372, 0.4721), dataset="llcm")
    found = compare(both, "AGW", tolerance=0.01)
    assert [f.row.setting for f in found] == ["nir->vis", "vis->nir"]
    assert [f.verdict for f in found] == ["within", "within"]
    assert all("no published count says whether these 7000 queries are all" in f.notes[0] for f in found)


@pytest.mark.parametrize(
    ("method", "setting", "changes", "note"),
    [
        ("AGW", {"sampling": "official"}, {}, "sampled with test.sampling official, AGW's were sampled with agw"),
        ("PMT", {}, {}, "sampled with test.sampling agw, PMT's were sampled in an unknown way"),
        ("AGW", {}, {"flip": True}, "adds the mirrored image's feature (test.flip), AGW's uses the image alone"),
        ("CAJ", {}, {}, "uses the image alone (test.flip), CAJ's adds"),
        ("AGW", {}, {"distance": "euclidean"}, "distances are Euclidean"),
        ("AGW", {}, {"feature": "pooled"}, "before batch normalization"),
        ("AGW", {}, {"run": {"num_left_out": 3}}, "3 images could not be read"),
        ("MCJA", {"rerank": {"k1": 20, "k2": 6, "lambda": 0.3}}, {}, "MCJA's re-ranking differs"),
    ],
)
def test_what_differs_is_noted(method, setting, changes, note):
    [found] = compare(results(sysu(**setting), **changes), method)
    assert note in " ".join(found.notes)


def test_what_is_alike_is_not_noted():
    unit = results(sysu(), distance="euclidean", normalize_feature=True)  # ranks as the cosine does
    assert compare(unit, "AGW")[0].notes == []
    of_anybody = {key: value for key, value in results(sysu()).items() if key != "flip"}
    assert compare(of_anybody, "AGW")[0].notes == []


def test_unknown_methods_and_data_sets_list_the_known_ones():
    with pytest.raises(
        ValueError, match="there is no row of the method nosuch for sysu_mm01: choose from AGW, .*, baseline"
    ):
        compare(results(sysu()), "nosuch")
    with pytest.raises(
        ValueError, match="there is no row of the method PMT for regdb: choose from AGW, CAJ, CEIL, DEEN, MMN"
    ):
        compare(results(regdb(), dataset="regdb"), "PMT")
    with pytest.raises(
        ValueError,
        match="there is no published row for rgbir_folder: there are rows for llcm, msvr310, regdb, .*, sysu_mm01",
    ):
        compare(results(llcm("ir->rgb", 0.5, 0.5), dataset="rgbir_folder"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is not JSON"),
        ("\udcff", "is not JSON"),
        ("[" * 100000, "is not JSON"),
        ("[]", 'is not a results.json: it has no "dataset"'),
        ('{"dataset": "sysu_mm01", "methods": []}', 'it has no "settings"'),
        ('{"dataset": "sysu_mm01", "settings": []}', 'it has no "settings"'),
        (results(sysu(num_queries=None)), "setting 0 lacks num_queries"),
        (results(sysu(), sysu(47.5)), "setting 1 lacks a mean rank1, mAP or mINP between 0 and 1"),
        (results(sysu(float("nan"))), "setting 0 lacks a mean"),
        (results(sysu(mean=None)), "setting 0 lacks a mean"),
        (results(sysu(shots=5)), "setting 0 lacks shots"),
        (results(regdb(direction=None)), "setting 0 lacks search or direction"),
    ],
)
def test_what_is_no_results_json(tmp_path, text, says):
    path = tmp_path / "results.json"
    path.write_bytes((text if isinstance(text, str) else json.dumps(text)).encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=says) as error:
        read_results(path)
    assert str(path) in str(error.value)


def test_a_good_file_comes_back_and_a_missing_one_is_named(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(results(sysu())))
    assert read_results(path) == results(sysu())
    for missing in (tmp_path / "no.json", tmp_path):
        with pytest.raises(FileNotFoundError, match="is missing: give the results.json"):
            read_results(missing)


def test_the_rows_are_of_settings_that_exist_and_of_each_there_is_one():
    names = [(row.method, row.dataset, row.setting, row.rerank) for row in ROWS]
    assert len(set(names)) == len(names)
    assert all(0 < value < 100 for row in ROWS for value in row.mean.values())
    assert all(row.source for row in ROWS)
    assert {row.setting for row in ROWS if row.dataset != "llcm"} <= {setting for _, setting in COUNTS}


def test_the_counts_are_those_that_the_doctor_expects():
    for (dataset, setting), (queries, gallery) in COUNTS.items():
        published = LAYOUTS[dataset].published
        assert queries == published[QUERY]
        assert dataset != "regdb" or gallery == published[GALLERY], setting
