from argparse import ArgumentTypeError

import numpy as np
import pytest

from torchreid_rgbir import config
from torchreid_rgbir.commands.arguments import moment
from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.retrieval import Extractor, Filter, Gallery, References, ReferenceTable, identify, read_image_table
from torchreid_rgbir.retrieval import extractor as extractor_module
from torchreid_rgbir.retrieval.identify import open_references
from torchreid_rgbir.retrieval.search import unit
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.synthetic.write import synthesize


@pytest.fixture
def references(clustered):
    features, rows = clustered
    return References(rows, unit(features))


def test_categories_are_ranked_by_their_best_reference(references, clustered):
    features, rows = clustered
    queries = np.random.default_rng(1).standard_normal((9, 32)).astype(np.float32)
    for query, answer in zip(unit(queries), identify(queries, references, topk=12), strict=True):
        best: dict[str, tuple[float, str]] = {}
        for cosine, category, path in zip(unit(features) @ query, rows.categories, rows.paths, strict=True):
            best[category] = max(best.get(category, (-2.0, "")), (float(cosine), path))
        expected = sorted(((-score, category, path) for category, (score, path) in best.items()))[:12]
        assert [(match.category, match.path) for match in answer.matches] == [(c, p) for _, c, p in expected]
        assert not answer.unknown


def test_topk_counts_categories_and_ends_where_they_do(references, clustered):
    features, _ = clustered
    assert [len(identify(features[:2], references, topk=k)[1].matches) for k in (1, 3, 40, 1000)] == [1, 3, 40, 40]


def test_below_the_threshold_is_unknown(references, clustered):
    features, _ = clustered
    [answer] = identify(features[:1] + 1, references)
    best = answer.matches[0].score
    for threshold, unknown in ((best, False), (np.nextafter(best, 2), True), (None, False)):
        [answer] = identify(features[:1] + 1, references, threshold=threshold)
        assert answer.unknown is unknown
        assert answer.matches[0].score == best


def test_a_filter_goes_before_the_ranking(references, clustered):
    features, _ = clustered
    [answer] = identify(features[:1], references, topk=5, where=Filter(cameras=[2]))
    assert len(answer.matches) == 5
    assert {match.camera for match in answer.matches} == {2}
    with pytest.raises(ValueError, match="there is no reference to compare with"):
        identify(features[:1], references, where=Filter(cameras=[9]))


def test_one_category_needs_a_threshold(clustered):
    features, rows = clustered
    alone = References(rows.take(slice(0, 5)), unit(features[:5]))
    with pytest.raises(ValueError, match='all references have the category category "0"'):
        identify(features, alone)
    answers = identify(features, alone, threshold=0.7)
    assert [answer.unknown for answer in answers[:5]] == [False] * 5
    assert sum(answer.unknown for answer in answers) >= 190


@pytest.fixture(scope="module")
def tested(tmp_path_factory):
    """An engine that has scored an untrained model on folders under the standard protocol, its data, its checkpoint."""
    root = tmp_path_factory.mktemp("standard")
    synthesize("folder", root / "set", num_ids=25, images_per_camera=3, size=(32, 64), workers=1)
    cfg = config.override(
        config.load("quickstart"),
        ["data.root", str(root / "set"), "data.sources", "rgbir_folder", "data.height", "64", "data.width", "32"]
        + ["data.workers", "0", "train.batch_size", "16", "sampler.num_instances", "2", "model.pretrained", "False"],
    )
    engine = build_engine(cfg)
    engine.test(dist_metric="cosine")
    state = {"state_dict": engine.model.state_dict(), "about": engine.metadata}
    checkpoint.save(state, root / "model.pth.tar")
    return engine, root / "set" / "test", root / "model.pth.tar"


@pytest.mark.parametrize("store", ["folder", "gallery"])
def test_top1_accuracy_is_the_evaluators_rank1(tested, store, tmp_path):
    """The same images, the same answer: exactly, from the checkpoint alone."""
    engine, test, weights = tested
    [setting] = engine.results["rgbir_folder"]["settings"]
    extractor = Extractor.load(weights)
    references = open_references(str(test / "rgb"), extractor, "rgb")
    if store == "gallery":
        pytest.importorskip("lancedb")
        gallery = Gallery.create(tmp_path / "gallery", extractor.fingerprint, 512, "rgb")
        gallery.add(references.features, references.rows)
        references = open_references(str(tmp_path / "gallery"), extractor, None)
    images = read_image_table(test / "ir")
    answers = identify(extractor(list(images.paths), "ir"), references)
    right = [
        answer.matches[0].category == category for answer, category in zip(answers, images.categories, strict=True)
    ]
    assert len(right) == setting["num_valid_queries"] > 20
    assert np.mean(right) == setting["mean"]["rank1"]
    assert 0 < np.mean(right) < 1


def test_references_of_another_model_or_modality(tmp_path, extractor, photos):
    pytest.importorskip("lancedb")
    with pytest.raises(ValueError, match="--reference-modality rgb or ir"):
        open_references(str(photos / "rgb"), extractor, None)
    Gallery.create(tmp_path / "other", "f" * 32, 512, "rgb")
    with pytest.raises(ValueError, match="a different model"):
        open_references(str(tmp_path / "other"), extractor, None)
    Gallery.create(tmp_path / "ir", extractor.fingerprint, 512, "ir")
    with pytest.raises(ValueError, match="gallery of ir images, not rgb"):
        open_references(str(tmp_path / "ir"), extractor, "rgb")


def test_a_time_without_a_zone_is_told_as_one_that_is_taken():
    with pytest.raises(ArgumentTypeError) as told:
        moment("2026-05-31")
    assert moment(str(told.value).split()[-3]).isoformat() == "2026-05-31T00:00:00+00:00"


def test_references_are_computed_in_batches_of_the_size_asked_for(photos, extractor, monkeypatch):
    sizes, embed = [], extractor_module.embed
    monkeypatch.setattr(
        extractor_module, "embed", lambda model, images, *rest: sizes.append(len(images)) or embed(model, images, *rest)
    )
    open_references(str(photos / "rgb"), extractor, "rgb", batch_size=2)
    assert max(sizes) == 2


def test_references_of_another_size(clustered, references):
    features, _ = clustered
    with pytest.raises(ValueError, match="32 numbers each"):
        identify(features[:, :16], references)
    with pytest.raises(ValueError, match="no time zone"):
        from datetime import datetime

        ReferenceTable.of(["a"], ["b"], times=[datetime(2026, 1, 1)])
