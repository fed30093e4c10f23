import numpy as np
import pytest

from torchreid_rgbir.benchmark import evaluation
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import regdb, sysu_mm01


def test_sizes_are_those_of_the_official_test_sets():
    data, _ = evaluation.sysu_sized(dim=2)
    assert [np.count_nonzero(data.modalities == modality) for modality in (RGB, IR)] == [6775, 3803]
    data = evaluation.regdb_sized(dim=2)
    assert [np.count_nonzero(data.modalities == modality) for modality in (RGB, IR)] == [2060, 2060]


@pytest.mark.parametrize("distances", [evaluation.query_by_query, evaluation.all_queries_at_once])
def test_all_sides_measure_the_same(monkeypatch, distances):
    sizes = {camid: (num_ids // 8, num_images // 8) for camid, (num_ids, num_images) in evaluation.SYSU_CAMERAS.items()}
    monkeypatch.setattr(evaluation, "SYSU_CAMERAS", sizes)
    data, permutations = evaluation.sysu_sized(dim=8)
    pairs = list(
        zip(
            sysu_mm01.report(data, permutations), evaluation.naive_sysu_mm01(data, permutations, distances), strict=True
        )
    )
    data = evaluation.regdb_sized(dim=8).take(slice(None, None, 7))
    pairs += zip(regdb.report(data), evaluation.naive_regdb(data, distances), strict=True)
    for ours, naive in pairs:
        assert ours["mean"] == pytest.approx(naive, abs=1e-4)  # distances that nearly tie may be rounded apart


def test_ratios_medians_and_spread(monkeypatch):
    calls = []
    owners = ((evaluation, "naive_sysu_mm01"), (evaluation, "naive_regdb"), (sysu_mm01, "report"), (regdb, "report"))
    for owner, name in owners:
        monkeypatch.setattr(owner, name, lambda *_, name=name: calls.append(name))
    monkeypatch.setattr(evaluation, "peak_memory", lambda dim: dim)
    measured = evaluation.evaluation(rounds=2, dim=2)
    sysu, split = (["report", *[name, name, "report"] * 2] for name in ("naive_sysu_mm01", "naive_regdb"))
    assert calls == sysu + split
    assert measured["evaluation_peak_bytes"] == 2
    names = {f"evaluation{kind}_over_{side}" for kind in ("", "_regdb") for side in ("naive", "batched")}
    assert set(measured["ratios"]) == set(measured["spread"]) == names
    assert set(measured["medians"]) == {
        f"evaluation{kind}_{side}" for kind in ("", "_regdb") for side in ("naive", "batched", "ours")
    }
    for name, (low, high) in measured["spread"].items():
        assert 0 < low <= measured["ratios"][name] <= high
    assert set(measured["limits"]) == {"evaluation_ours", "evaluation_regdb_ours"}
    assert all(limit > 0 for limit, _ in measured["limits"].values())
