"""What the page computes, without gradio."""

import io
from datetime import datetime, timezone

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.demo.answers import PREVIEW, Answers
from torchreid_rgbir.retrieval import Filter, References, ReferenceTable
from torchreid_rgbir.retrieval.identify import identify, open_references

pytest.importorskip("jinja2")
from torchreid_rgbir.demo import render  # noqa: E402


@pytest.fixture(scope="module")
def answers(extractor, photos):
    return Answers(extractor, open_references(str(photos / "rgb"), extractor, "rgb"), "rgb")


@pytest.fixture(scope="module")
def night(photos):
    return sorted((photos / "ir").rglob("*.jpg"))[3]


def read(answers, path):
    with open(path, "rb") as file:
        return answers.read(file.read())


def with_threshold(answers, threshold, rate=None):
    return Answers(answers.extractor, answers.references, "rgb", threshold, rate)


def test_the_answer_is_that_of_identify_to_the_last_digit(answers, night):
    [expected] = identify(answers.extractor(str(night), "ir"), answers.references, topk=12)
    assert answers.identify(read(answers, night), "ir") == expected


def test_only_small_copies_of_an_upload_are_kept(answers):
    data = io.BytesIO()
    Image.new("RGB", (3000, 1500), "red").save(data, "PNG")
    upload = answers.read(data.getvalue())
    assert upload.pixels.size == (answers.extractor.width, answers.extractor.height)
    assert upload.preview.size == (PREVIEW[0], PREVIEW[0] // 2)


def test_a_filter_selects_the_references(answers, night):
    upload = read(answers, night)
    camera = int(answers.rows.cameras[0])
    assert {match.camera for match in answers.identify(upload, "ir", Filter(cameras=[camera])).matches} == {camera}
    name = answers.rows.categories[0]
    assert [match.category for match in answers.identify(upload, "ir", Filter(categories=[name])).matches] == [name]
    with pytest.raises(ValueError, match="the filter excludes everything"):
        answers.identify(upload, "ir", Filter(cameras=[99]))


def test_two_images_are_compared_by_the_cosine_of_their_features(answers, night, photos):
    day = sorted((photos / "rgb").rglob("*.jpg"))[5]
    expected = float((answers.extractor(str(day), "rgb") @ answers.extractor(str(night), "ir").T).item())
    found = answers.compare(read(answers, day), "rgb", read(answers, night), "ir")
    assert found == pytest.approx(expected, abs=1e-6)
    assert answers.compare(read(answers, day), "rgb", read(answers, day), "rgb") == pytest.approx(1, abs=1e-6)


def test_activation_of_the_image_and_of_the_reference(answers, night):
    pytest.importorskip("matplotlib")
    upload = read(answers, night)
    first, *_, last = answers.identify(upload, "ir").matches
    drawn = [np.asarray(answers.activation(upload, "ir", match), float) for match in (first, last)]
    middle = drawn[0].shape[1] // 2
    assert np.abs(drawn[0] - drawn[1])[:, :middle].max() == 0  # the same image
    assert np.abs(drawn[0] - drawn[1])[:, middle:].max() > 50  # another reference


def test_an_empty_reference_is_reported(answers):
    nothing = slice(0, 0)
    empty = References(answers.rows.take(nothing), answers.references.features[nothing])
    with pytest.raises(ValueError, match="no reference to compare with: add images"):
        Answers(answers.extractor, empty, "rgb")


def test_the_page_says_unknown_below_the_threshold(answers, night):
    upload = read(answers, night)
    best = answers.identify(upload, "ir").matches[0]
    for threshold, title in ((best.score, best.category), (float(np.nextafter(best.score, 2)), "Unknown")):
        strict = with_threshold(answers, threshold)
        shown = render.ranked(strict, upload, "ir", strict.identify(upload, "ir"))
        assert f"<h2>{title}</h2>" in shown and f"threshold {threshold:.3f}" in shown
    assert "There is no threshold" in render.ranked(answers, upload, "ir", answers.identify(upload, "ir"))


def test_the_comparison_names_threshold_and_false_match_rate(answers, night):
    pair = [(read(answers, night), "ir")] * 2
    assert "Probably" not in render.compared(answers, pair, 0.7)
    calibrated = with_threshold(answers, 0.6, 0.0125)
    same, different = (render.compared(calibrated, pair, score) for score in (0.6, 0.599))
    assert "Probably the same" in same and "Probably different" in different
    assert "1.25 %" in same and "1.25 %" in different
    assert "False-match rate" not in render.compared(with_threshold(answers, 0.6), pair, 0.7)
    assert "not trained to compare IR with IR" in same


def test_names_are_text_and_missing_files_are_shown_as_such(answers, night):
    name = "<b>${1 + 1} & {{ 2 }}</b>"
    times = [datetime(2026, 5, 31, 8, 15, tzinfo=timezone.utc)] * 2
    rows = ReferenceTable.of(["gone.jpg", str(night)], [name, "other"], [7, 0], times)
    strange = Answers(answers.extractor, References(rows, answers.references.features[:2]), "rgb")
    upload = read(answers, night)
    shown = render.ranked(strange, upload, "ir", strange.identify(upload, "ir"))
    assert "<b>" not in shown and "&lt;b&gt;${1 + 1} &amp; {{ 2 }}&lt;/b&gt;" in shown
    assert shown.count("The image file is missing.") == 1
    assert "camera 7" in shown and "camera 0" not in shown and "2026-05-31 08:15 UTC" in shown
