from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from torchreid_rgbir.metrics import TestFeatures
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import sysu_mm01
from torchreid_rgbir.protocols.galleries import draw_agw
from torchreid_rgbir.protocols.permutations import read_permutations

OFFICIAL = Path(__file__).parents[3] / "shared" / "data" / "sysu_mm01_protocol"
needs_official = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the official protocol files are not here")

CAMERAS = {1: RGB, 2: RGB, 3: IR, 4: RGB, 5: RGB, 6: IR}
SETTINGS = [("all", 1), ("all", 10), ("indoor", 1), ("indoor", 10)]


def permutations_of(data, seed=0, num_trials=10):
    """rand_perm_cam as scipy reads it, for the folders of `data`."""
    rng = np.random.default_rng(seed)
    cameras = np.empty((6, 1), object)
    for camid in range(1, 7):
        tables = np.empty((data.pids.max(), 1), object)
        for pid in range(1, len(tables) + 1):
            num = int(((data.camids == camid) & (data.pids == pid)).sum())
            tables[pid - 1, 0] = np.array([rng.permutation(num) + 1 for _ in range(num_trials)], np.uint8)
        cameras[camid - 1, 0] = tables
    return cameras


def skipped(data):
    pairs = {(3, 2), (2, 3)}  # query camera, gallery camera
    return lambda q, g: (int(data.camids[q]), int(data.camids[g])) in pairs


def official_rows(data, permutations, cameras, shots, trial):
    """Rows that the trial draws: the first `shots` numbers of its row, looked up as images of that folder."""
    rows = []
    for camid in cameras:
        for pid in sorted(set(data.pids.tolist())):
            for number in permutations[camid - 1, 0][pid - 1, 0][trial][:shots]:
                rows += np.flatnonzero(
                    (data.camids == camid) & (data.pids == pid) & (data.image_numbers == number)
                ).tolist()
    return rows


def columns(data):
    return data.features, data.pids, data.camids, data.image_numbers


@pytest.mark.parametrize("query", ["ir", "rgb"])
@pytest.mark.parametrize(("kind", "distance"), [("ties", "euclidean"), ("real", "cosine"), ("real", "euclidean")])
@pytest.mark.parametrize("seed", range(3))
def test_every_setting_equals_the_naive_reading(naive, seed, kind, distance, query):
    rng = np.random.default_rng(seed)
    data = naive.random_set(rng, CAMERAS, max_images=12, kind=kind, dtype=(np.float32, np.float64)[seed % 2])
    permutations = permutations_of(data, seed)
    dist = naive.distances(data, distance, kind)
    asking = [row for row in range(len(data)) if data.modalities[row] == (IR if query == "ir" else RGB)]
    cameras = {"all": (1, 2, 4, 5), "indoor": (1, 2)} if query == "ir" else {"all": (3, 6), "indoor": (3,)}
    settings = sysu_mm01.report(data, permutations, query=query, distance=distance)
    assert [(s["search"], s["shots"], s["sampling"]) for s in settings] == [(*pair, "official") for pair in SETTINGS]
    for setting in settings:
        drawn = [official_rows(data, permutations, cameras[setting["search"]], setting["shots"], t) for t in range(10)]
        trials = [naive.measures(data, asking, rows, skipped(data), True, dist) for rows in drawn]
        naive.assert_setting(setting, trials, len(asking), len(drawn[0]))
        alone = sysu_mm01.evaluate(
            *columns(data), permutations, setting["search"], setting["shots"], query=query, distance=distance
        )
        assert alone == setting


def test_agw_equals_the_naive_reading(naive):
    data = naive.random_set(np.random.default_rng(5), CAMERAS, kind="real")
    dist = naive.distances(data, "cosine", "real")
    asking = np.flatnonzero(data.modalities == IR)
    rgb_rows = sorted(
        np.flatnonzero(data.modalities == RGB), key=lambda r: (data.pids[r], data.camids[r], data.image_numbers[r])
    )
    settings = sysu_mm01.report(data, None, sampling="agw")
    assert [(s["search"], s["shots"], s["sampling"]) for s in settings] == [("all", 1, "agw"), ("indoor", 1, "agw")]
    for setting, cameras in zip(settings, [(1, 2, 4, 5), (1, 2)], strict=True):
        drawn = [[rgb_rows[i] for i in trial] for trial in draw_agw(data.of(RGB), cameras)]
        trials = [naive.measures(data, asking, rows, skipped(data), True, dist) for rows in drawn]
        naive.assert_setting(setting, trials, len(asking), len(drawn[0]))


def hand_made(rows):
    """(pid, camid, feature on a line) -> columns with numbers in the order given; Euclidean distances are |a - b|."""
    counts = {}
    numbers = [counts.setdefault((pid, camid), []).append(0) or len(counts[pid, camid]) for pid, camid, _ in rows]
    pids, camids, values = zip(*rows, strict=True)
    modalities = np.array([CAMERAS[camid] for camid in camids])
    return TestFeatures(
        np.array(values, float)[:, None], np.array(pids), np.array(camids), modalities, np.array(numbers)
    )


def test_a_query_of_camera_3_skips_all_of_camera_2():
    # From 0 outwards: camera 2 first shows another identity, then the right one; camera 1 the other way round.
    gallery = [(1, 1, 3), (2, 1, 4), (2, 2, 1), (1, 2, 2)]
    for camid, first, ap in ((3, 1, 1.0), (6, 2, (1 / 2 + 2 / 3) / 2)):
        data = hand_made([(1, camid, 0), *gallery])
        setting = sysu_mm01.evaluate(*columns(data), permutations_of(data), distance="euclidean")
        assert setting["mean"]["rank1"] == (first == 1)
        assert setting["mean"]["mAP"] == pytest.approx(ap)
        assert setting["num_gallery"] == 4


def test_cmc_counts_identities_and_map_counts_images():
    # Ranked: identity 2 six times, then the match: place 2 among identities, place 7 among images.
    data = hand_made([(1, 6, 0), *((2, 1, i) for i in range(1, 7)), (1, 1, 9)])
    mean = sysu_mm01.evaluate(*columns(data), permutations_of(data), shots=10, distance="euclidean")["mean"]
    assert (mean["rank1"], mean["rank5"]) == (0, 1)
    assert mean["mAP"] == mean["mINP"] == pytest.approx(1 / 7)


def test_perfect_features_score_one(naive):
    data = naive.random_set(np.random.default_rng(1), CAMERAS, max_images=12)
    perfect = TestFeatures(
        np.eye(61)[data.pids], *[getattr(data, n) for n in ("pids", "camids", "modalities", "image_numbers")]
    )
    for setting in sysu_mm01.report(perfect, permutations_of(data)):
        assert set(setting["mean"].values()) == {1.0}
        assert set(setting["std"].values()) == {0.0}


@pytest.mark.parametrize("sampling", ["official", "agw"])
@pytest.mark.parametrize("kind", ["ties", "real"])
def test_the_order_of_the_rows_changes_nothing(naive, kind, sampling):
    rng = np.random.default_rng(2)
    data = naive.random_set(rng, CAMERAS, num_ids=20, max_images=12, kind=kind)
    permutations = permutations_of(data)
    settings = sysu_mm01.report(data, permutations, sampling=sampling)
    for _ in range(3):
        assert sysu_mm01.report(data.take(rng.permutation(len(data))), permutations, sampling=sampling) == settings


def test_images_that_every_query_skips_change_nothing(naive):
    rng = np.random.default_rng(3)
    data = naive.random_set(rng, {1: RGB, 3: IR, 4: RGB}, kind="real")
    pids = np.repeat(data.pids, 2)
    num = len(pids)
    order = np.lexsort([pids])
    numbers = np.array([np.count_nonzero(pids[order][:i] == pids[order][i]) + 1 for i in range(num)])
    more = TestFeatures(
        np.concatenate([data.features, rng.standard_normal((num, 5)).astype(np.float32)]),
        np.concatenate([data.pids, pids[order]]),
        np.concatenate([data.camids, np.full(num, 2)]),
        np.concatenate([data.modalities, np.full(num, RGB)]),
        np.concatenate([data.image_numbers, numbers]),
    )
    permutations = permutations_of(more)
    for search, shots in SETTINGS:
        fewer, skipping = (sysu_mm01.evaluate(*columns(d), permutations, search, shots) for d in (data, more))
        assert skipping["num_gallery"] > fewer["num_gallery"]
        assert skipping | {"num_gallery": 0} == fewer | {"num_gallery": 0}


def test_permutations_from_a_file(tmp_path, naive):
    data = naive.random_set(np.random.default_rng(4), CAMERAS)
    permutations = permutations_of(data)
    savemat(tmp_path / "rand_perm_cam.mat", {"rand_perm_cam": permutations})
    assert sysu_mm01.report(data, tmp_path / "rand_perm_cam.mat") == sysu_mm01.report(data, permutations)
    assert sysu_mm01.report(data, str(tmp_path / "rand_perm_cam.mat")) == sysu_mm01.report(data, permutations)
    tables = read_permutations(tmp_path / "rand_perm_cam.mat")
    assert sysu_mm01.report(data, tables) == sysu_mm01.report(data, permutations)


def test_no_valid_query_is_an_error_and_names_the_setting():
    data = hand_made([(1, 3, 0), (1, 2, 1), (2, 1, 2)])  # the only match is skipped
    with pytest.raises(ValueError, match="search all, shots 1, sampling official: none of the 1 queries has a match"):
        sysu_mm01.report(data, permutations_of(data))


def test_reranking_adds_named_rows(naive):
    from torchreid_rgbir.metrics import Rerank, re_rank

    data = naive.random_set(np.random.default_rng(6), CAMERAS, max_images=12, kind="real")
    permutations = permutations_of(data)
    plain = sysu_mm01.report(data, permutations)
    both = sysu_mm01.report(data, permutations, rerank=Rerank(5, 2, 0.3))
    assert both[:4] == plain
    assert all("rerank" not in setting for setting in plain)
    asking = np.flatnonzero(data.modalities == IR)
    for setting, unranked in zip(both[4:], plain, strict=True):
        assert setting["rerank"] == {"k1": 5, "k2": 2, "lambda": 0.3}
        assert setting["mean"] != unranked["mean"]
        cameras = (1, 2, 4, 5) if setting["search"] == "all" else (1, 2)
        trials = []
        for t in range(10):
            rows = sorted(
                official_rows(data, permutations, cameras, setting["shots"], t),
                key=lambda r: (data.pids[r], data.camids[r], data.image_numbers[r]),
            )
            canonical = sorted(asking, key=lambda r: (data.pids[r], data.camids[r], data.image_numbers[r]))
            dist = np.full((len(data), len(data)), np.nan)
            dist[np.ix_(canonical, rows)] = re_rank(data.features[canonical], data.features[rows], 5, 2, 0.3)
            trials.append(naive.measures(data, asking, rows, skipped(data), True, dist))
        naive.assert_setting(setting, trials, len(asking), len(rows))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search": "outdoor"}, "search 'outdoor' is unknown: choose one of all, indoor"),
        ({"shots": 5}, "shots 5: official sampling has 1 and 10"),
        ({"shots": 10, "sampling": "agw"}, "shots 10: agw sampling has 1"),
        ({"sampling": "random"}, "sampling 'random' is unknown: choose one of official, agw"),
        ({"query": "thermal"}, "modality 'thermal' is unknown: choose one of rgb, ir"),
        ({"distance": "l1"}, "distance 'l1' is unknown"),
        ({"permutations": None}, "need SYSU-MM01's rand_perm_cam.mat"),
        ({"image_numbers": None}, "image_numbers is missing"),
        ({"camids": [3, 7, 1]}, "camids: row 1 is 7, but SYSU-MM01 has cameras 1 to 6"),
        ({"camids": [3, 6, 6]}, "no rgb image"),
        ({"camids": [1, 2, 4]}, "no ir image"),
        ({"pids": [1, 1]}, r"pids: shape \(2,\), expected \(3,\)"),
        ({"features": [[1.0], [np.nan], [1.0]]}, "features: row 1 holds nan"),
    ],
)
def test_bad_input_is_named(change, message):
    data = hand_made([(1, 3, 0), (1, 1, 1), (2, 1, 2)])
    names = ("features", "pids", "camids", "image_numbers")
    arguments = dict(zip(names, columns(data), strict=True)) | {"permutations": permutations_of(data)} | change
    with pytest.raises(ValueError, match=message) as caught:
        sysu_mm01.evaluate(**arguments)
    assert "\n" not in str(caught.value)


def test_a_modality_that_contradicts_the_camera():
    data = hand_made([(1, 3, 0), (1, 1, 1), (2, 1, 2)])
    wrong = TestFeatures(data.features, data.pids, data.camids, np.array([IR, RGB, IR]), data.image_numbers)
    with pytest.raises(ValueError, match="modalities: row 2 is ir, but SYSU-MM01's camera 1 is rgb"):
        sysu_mm01.report(wrong, permutations_of(data))


def test_a_number_that_comes_twice_in_a_folder():
    data = hand_made([(1, 3, 0), (1, 1, 1), (1, 1, 2)])
    with pytest.raises(ValueError, match="image_numbers: row 2 is image 1 of camera 1, identity 1 a second time"):
        sysu_mm01.evaluate(data.features, data.pids, data.camids, [1, 1, 1], permutations_of(data))


def test_a_query_that_comes_twice():
    data = hand_made([(1, 3, 0), (1, 3, 0), (1, 1, 1)])
    with pytest.raises(ValueError, match="image_numbers: row 1 is image 1 of camera 3, identity 1 a second time"):
        sysu_mm01.evaluate(data.features, data.pids, data.camids, [1, 1, 1], permutations_of(data))


def test_a_folder_that_the_features_lack_is_warned_of_once(caplog, naive):
    data = naive.random_set(np.random.default_rng(7), CAMERAS, absent=0)
    permutations = permutations_of(data)
    sysu_mm01.report(data, permutations)
    assert not caplog.records
    sysu_mm01.report(data.take((data.pids != data.pids[0]) | (data.camids != 1)), permutations)
    (record,) = caplog.records  # of four settings
    assert f"camera 1, identity {data.pids[0]}, but the features have none" in record.message


def test_agw_wants_every_image_of_a_folder(naive):
    data = naive.random_set(np.random.default_rng(8), CAMERAS, absent=0, max_images=6)
    last = data.image_numbers == [
        max(data.image_numbers[(data.pids == pid) & (data.camids == camid)])
        for pid, camid in zip(data.pids, data.camids, strict=True)
    ]
    row = np.flatnonzero(~last & (data.modalities == RGB))[0]
    lacking = data.take(np.arange(len(data)) != row)
    with pytest.raises(ValueError, match=r"^image_numbers: row \d+ is \d, but the images of camera") as caught:
        sysu_mm01.report(lacking, None, sampling="agw")
    named = int(str(caught.value).split()[2])
    same = (lacking.pids == data.pids[row]) & (lacking.camids == data.camids[row])
    assert named == np.flatnonzero(same & (lacking.image_numbers > data.image_numbers[row]))[0]


def test_the_reverse_direction_says_so_in_every_setting(naive):
    data = naive.random_set(np.random.default_rng(9), CAMERAS)
    for sampling, permutations in (("official", permutations_of(data)), ("agw", None)):
        reverse = sysu_mm01.report(data, permutations, sampling=sampling, query="rgb")
        assert {setting["query"] for setting in reverse} == {"rgb"}
        assert not any("query" in setting for setting in sysu_mm01.report(data, permutations, sampling=sampling))


@needs_official
def test_the_official_galleries_have_their_published_sizes():
    permutations = loadmat(OFFICIAL / "rand_perm_cam.mat")["rand_perm_cam"]
    rows = [
        (pid, camid, number)
        for pid in loadmat(OFFICIAL / "test_id.mat")["id"].ravel().tolist()
        for camid in CAMERAS
        if pid <= len(permutations[camid - 1, 0])
        for number in range(1, permutations[camid - 1, 0][pid - 1, 0].shape[1] + 1)
    ]
    pids, camids, numbers = np.array(rows).T
    modalities = np.array([0, 0, 0, 1, 0, 0, 1])[camids]
    features = np.random.default_rng(0).standard_normal((len(rows), 4)).astype(np.float32)
    assert np.count_nonzero(modalities == RGB) == 6775
    settings = sysu_mm01.report(
        TestFeatures(features, pids, camids, modalities, numbers), OFFICIAL / "rand_perm_cam.mat"
    )
    assert [s["num_gallery"] for s in settings] == [301, 3010, 112, 1120]
    assert {s["num_queries"] for s in settings} == {3803}
    assert [s["num_valid_queries"] for s in settings] == [3803, 3803, 2208, 2208]
