"""extract, identify, gallery and calibrate as a user calls them."""

import csv
import json
import os
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from torchreid_rgbir.cli import main
from torchreid_rgbir.data.images import list_images
from torchreid_rgbir.metrics import load_features
from torchreid_rgbir.retrieval import Gallery


@pytest.fixture
def words(weights, photos):
    """Flags that most commands share."""
    return {
        "model": ["--weights", str(weights)],
        "reference": ["--reference", str(photos / "rgb"), "--reference-modality", "rgb"],
        "image": ["--image", str(photos / "ir"), "--modality", "ir"],
    }


@pytest.fixture
def gallery(tmp_path, weights, photos, capsys):
    pytest.importorskip("lancedb")
    where = str(tmp_path / "gallery")
    assert add(where, weights, photos / "rgb") == 0
    assert re.search(r"added 32 images, 0 were there already: 32 rgb images", capsys.readouterr().out)
    return where


def add(where, weights, images, modality="rgb"):
    flags = ["--weights", str(weights), "--images", str(images), "--modality", modality]
    return main(["gallery", "add", where, *flags])


def error_of(capsys, *argv):
    """The one line that a mistake prints."""
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1, captured.err
    return captured.err


def test_extract_writes_what_evaluate_reads(tmp_path, words, extractor, photos, capsys):
    out = tmp_path / "features.npz"
    flags = ["--rgb", str(photos / "rgb"), "--ir", str(photos / "ir"), "--out", str(out)]
    assert main(["extract", *words["model"], *flags]) == 0
    data = load_features(out)
    assert len(data) == np.sum([len(list_images(folder)) for folder in photos.glob("*/*")])
    for modality, name in enumerate(("rgb", "ir")):
        part = data.take(data.modalities == modality)
        assert part.paths.tolist() == sorted(str(path) for path in (photos / name).rglob("*.jpg"))
        np.testing.assert_allclose(part.features, extractor(photos / name, name), atol=1e-5)
    folders = sorted({path.parent.name for path in photos.rglob("*.jpg")})
    assert [folders[pid] for pid in data.pids] == [path.split("/")[-2] for path in data.paths]
    assert data.camids.tolist() == [int(path.split("/")[-1].split("_")[0][1:]) for path in data.paths]
    for pid, camid in set(zip(data.pids.tolist(), data.camids.tolist(), strict=True)):
        assert data.image_numbers[(data.pids == pid) & (data.camids == camid)].tolist() == [1, 2]
    assert main(["evaluate", str(out), "--protocol", "standard"]) == 0
    assert "512 numbers each" in capsys.readouterr().out
    assert main(["extract", *words["model"], *flags, "--no-normalize"]) == 0
    lengths = np.linalg.norm(load_features(out).features, axis=1)
    np.testing.assert_allclose(np.linalg.norm(data.features, axis=1), 1, atol=1e-6)
    assert lengths.std() > 0.01


def test_identify_prints_writes_and_draws(tmp_path, words, photos, capsys):
    out, picture = tmp_path / "answers.json", tmp_path / "answers.png"
    flags = ["--topk", "3", "--labeled", "--json", str(out), "--save-picture", str(picture)]
    assert main(["identify", *words["model"], *words["reference"], *words["image"], *flags]) == 0
    answers = json.loads(out.read_text())["images"]
    paths = sorted(str(path) for path in (photos / "ir").rglob("*.jpg"))
    assert [answer["path"] for answer in answers] == paths
    printed = capsys.readouterr().out
    right = 0
    for answer in answers:
        assert set(answer) == {"path", "unknown", "matches"} and answer["unknown"] is False
        scores = [match["score"] for match in answer["matches"]]
        assert len(scores) == len({match["category"] for match in answer["matches"]}) == 3
        assert scores == sorted(scores, reverse=True)
        assert all(match["reference"].split("/")[-2] == match["category"] for match in answer["matches"])
        right += answer["matches"][0]["category"] == answer["path"].split("/")[-2]
        best = answer["matches"][0]
        assert f"{answer['path']}\n   1  {best['category']}  {best['score']:>6.3f}  {best['reference']}\n" in printed
    assert f"best category correct: {right} of {len(paths)} images" in printed
    with Image.open(picture) as drawn:
        assert drawn.width > 4 * 96 and drawn.height > len(paths) * 192
        assert len(drawn.resize((50, 50)).getcolors(2500)) > 100


def test_a_threshold_makes_images_unknown(tmp_path, words, capsys):
    out = tmp_path / "answers.json"
    argv = ["identify", *words["model"], *words["reference"], *words["image"], "--json", str(out)]
    assert main([*argv, "--threshold", "1.1"]) == 0
    assert all(answer["unknown"] and answer["matches"] for answer in json.loads(out.read_text())["images"])
    assert "unknown, all scores are below 1.1" in capsys.readouterr().out


def test_the_same_modality_works_and_is_said_to_be_outside(words, photos, capsys):
    images = ["--image", str(photos / "rgb"), "--modality", "rgb", "--labeled", "--topk", "1"]
    assert main(["identify", *words["model"], *words["reference"], *images]) == 0
    captured = capsys.readouterr()
    assert "best category correct: 32 of 32" in captured.out  # each is its own best reference
    assert captured.err == "note: the model was not trained to compare rgb with rgb images\n"


def test_a_gallery_answers_as_the_folder_does(tmp_path, words, gallery, photos):
    answers = []
    for references in (words["reference"], ["--reference", gallery]):
        out = tmp_path / "answers.json"
        assert main(["identify", *words["model"], *references, *words["image"], "--json", str(out)]) == 0
        answers.append(json.loads(out.read_text())["images"])
    for folder, stored in zip(*answers, strict=True):
        for a, b in zip(folder["matches"], stored["matches"], strict=True):
            assert (a["category"], a["reference"]) == (b["category"], b["reference"])
            assert a["score"] == pytest.approx(b["score"], abs=1e-6)


def test_adding_again_adds_what_is_new(gallery, weights, photos, capsys, monkeypatch):
    monkeypatch.chdir(photos)
    table = photos.parent / "more.csv"
    images = sorted((photos / "rgb").rglob("*.jpg"))[:2] + sorted((photos / "ir").rglob("*.jpg"))[:1]
    table.write_text("path,category,camera\n" + "".join(f"{path},someone,{9}\n" for path in images))
    assert add(gallery, weights, "rgb") == 0
    assert "added 0 images, 32 were there already" in capsys.readouterr().out
    assert add(gallery, weights, table) == 0
    assert "added 1 images, 2 were there already: 33" in capsys.readouterr().out


def test_list_remove_search_compact(gallery, words, photos, capsys):
    assert main(["gallery", "list", gallery]) == 0
    listed = capsys.readouterr().out
    names = sorted(folder.name for folder in (photos / "rgb").iterdir())
    assert "32 rgb images, 512 numbers each" in listed and "threshold: none" in listed
    assert [line.split() for line in listed.splitlines()[2:]] == [["8", name] for name in names]

    assert main(["gallery", "list", gallery, "--images", "--category", names[1], "--camera", "2"]) == 0
    first, second = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert first[1:] == second[1:] == [names[1], "2", "", "{}"]

    image = str(sorted((photos / "ir").rglob("*.jpg"))[0])
    flags = [*words["model"], "--image", image, "--modality", "ir", "--topk", "4", "--category", *names[:2]]
    assert main(["gallery", "search", gallery, *flags]) == 0
    title, *found = capsys.readouterr().out.splitlines()
    assert title == image
    assert len(found) == 4 and all(line.split()[2] in names[:2] for line in found)

    assert main(["gallery", "remove", gallery, "--path", first[0]]) == 0
    assert main(["gallery", "remove", gallery, "--category", names[0]]) == 0
    assert main(["gallery", "compact", gallery, "--index", "--erase"]) == 0
    assert main(["gallery", "search", gallery, *flags, "--index"]) == 0
    printed = capsys.readouterr().out
    assert "removed 1 images: 31 left" in printed and "removed 8 images: 23 left" in printed
    assert "23 images in" in printed and "indexed" in printed
    assert first[0] not in printed.split(image)[1] and names[0] not in printed.split(image)[1].replace(str(photos), "")


def test_each_image_is_one_line_whatever_its_names_contain(tmp_path, words, photos, capsys):
    pytest.importorskip("lancedb")
    source = list_images(sorted((photos / "rgb").iterdir())[0])[0]
    image = tmp_path / "a\n1\t2.jpg"
    shutil.copy(source, image)
    shutil.copy(source, tmp_path / "b.jpg")
    lines = [
        ["path", "category", "extra"],
        [image.name, "line\nbreak", '{"a": "x\\n\\ty"}'],
        ["b.jpg", "x\ty\u2028z\r", ""],
    ]
    with open(tmp_path / "m.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(lines)
    where = str(tmp_path / "gallery")
    assert add(where, words["model"][1], tmp_path / "m.csv") == 0
    capsys.readouterr()
    assert main(["gallery", "list", where, "--images"]) == 0
    listed = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [len(cells) for cells in listed] == [5, 5]
    assert sorted(cells[1] for cells in listed) == [r"line\nbreak", r"x\ty\u2028z\r"]
    assert listed[0][0] == rf"{tmp_path}/a\n1\t2.jpg"
    assert main(["gallery", "list", where]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    flags = [*words["model"], "--image", str(image), "--modality", "ir"]
    assert main(["gallery", "search", where, *flags]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert main(["identify", "--reference", where, *flags]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_calibrate_stores_the_threshold_that_identify_uses(gallery, words, photos, tmp_path, capsys):
    flags = ["--images", str(photos / "ir"), "--modality", "ir", "--rate", "0.25"]
    assert main(["calibrate", *words["model"], "--reference", gallery, *flags]) == 0
    printed = capsys.readouterr().out
    threshold = float(re.match(r"threshold ([-0-9.]+), from 16 images against 32 references", printed)[1])
    assert "stored in" in printed and "unknown people identified (falsely)  25.00 %" in printed
    about = Gallery.open(gallery).about
    assert (about.threshold, about.false_match_rate) == (pytest.approx(threshold), 0.25)
    out = tmp_path / "answers.json"
    identify = ["identify", *words["model"], "--reference", gallery, *words["image"], "--json", str(out)]
    assert main(identify) == 0
    answers = json.loads(out.read_text())["images"]
    assert {answer["unknown"] for answer in answers} == {True, False}
    for answer in answers:
        assert answer["unknown"] == (answer["matches"][0]["score"] < threshold)
    assert main([*identify, "--threshold", "-1"]) == 0
    assert not any(answer["unknown"] for answer in json.loads(out.read_text())["images"])

    assert main(["calibrate", *words["model"], *words["reference"], *flags]) == 0
    given = float(capsys.readouterr().out.rpartition("--threshold ")[2])
    assert given == pytest.approx(threshold, abs=1e-6)  # a gallery scales features to length 1 once more


def test_mistakes_are_one_line(tmp_path, words, gallery, weights, photos, capsys, monkeypatch):
    model, reference, image = words["model"], words["reference"], words["image"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.jpg").write_text("no image")
    identify = ["identify", *model, "--topk", "2"]

    def with_reference(where):
        return error_of(capsys, *identify, "--reference", where, "--reference-modality", "rgb", *image)

    assert "contains no CATEGORY/*.jpg" in with_reference(tmp_path / "empty")
    assert "nowhere is missing" in with_reference(tmp_path / "nowhere")
    assert "gallery of rgb images, not ir" in error_of(
        capsys, *identify, "--reference", gallery, "--reference-modality", "ir", *image
    )
    one = tmp_path / "one" / "anna"
    one.mkdir(parents=True)
    Image.new("RGB", (32, 64)).save(one / "a.jpg")
    assert "all references have the category anna" in with_reference(one.parent)
    assert "--reference-modality rgb or ir" in error_of(capsys, *identify, *reference[:2], *image)
    bad = ["--image", tmp_path / "words.jpg", "--modality", "ir"]
    assert "words.jpg cannot be read (it is not an image)" in error_of(capsys, *identify, *reference, *bad)
    bad = ["--image", tmp_path / "nowhere.jpg", "--modality", "ir"]
    assert "nowhere.jpg is missing" in error_of(capsys, *identify, *reference, *bad)
    assert "--topk is 0" in error_of(capsys, *identify, *reference, *image, "--topk", "0")
    bad = [*reference, *image, "--json", tmp_path / "nowhere" / "a.json"]
    assert "nowhere is not a folder" in error_of(capsys, *identify, *bad)
    assert "no image is given" in error_of(capsys, "extract", *model, "--out", tmp_path / "a.npz")
    assert "is not a gallery" in error_of(capsys, "gallery", "list", tmp_path / "empty")
    assert "has no index" in error_of(capsys, "gallery", "search", gallery, *model, *image, "--index")
    assert "which images to remove" in error_of(capsys, "gallery", "remove", gallery)
    bad = ["--images", photos / "ir", "--modality", "ir", "--rate", "0.001"]
    assert "give at least 1000" in error_of(capsys, "calibrate", *model, *reference, *bad)
    for module in ("torchreid_rgbir.retrieval.lance",):
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "lancedb", None)
    assert "run `pip install 'torchreid-rgbir[gallery]'`" in error_of(capsys, "gallery", "list", gallery)


@pytest.mark.parametrize("lacking", ["--modality", "--image", "--weights", "--reference"])
def test_a_flag_that_is_not_given(words, lacking, capsys):
    flags = [*words["model"], *words["reference"], *words["image"]]
    at = flags.index(lacking)
    with pytest.raises(SystemExit) as stop:
        main(["identify", *flags[:at], *flags[at + 2 :]])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert (f"required: {lacking}" if lacking != "--image" else "--image --video is required") in error


def test_a_gallery_of_another_model(tmp_path, gallery, words, weights, photos, capsys):
    from torchreid_rgbir.files import checkpoint

    state = checkpoint.load(weights)
    state["state_dict"]["layer1.0.conv1.weight"] *= 1.01
    checkpoint.save(state, tmp_path / "other.pth.tar")
    for argv in (
        ["identify", "--weights", tmp_path / "other.pth.tar", "--reference", gallery, *words["image"]],
        ["gallery", "search", gallery, "--weights", tmp_path / "other.pth.tar", *words["image"]],
        [
            "gallery",
            "add",
            gallery,
            "--weights",
            tmp_path / "other.pth.tar",
            "--images",
            photos / "rgb",
            "--modality",
            "rgb",
        ],
    ):
        assert "holds features of a different model" in error_of(capsys, *argv)


def test_degenerate_images(tmp_path, words, capsys):
    """One image of each of two identities, and constant images: results or one line, never a traceback."""
    for name in ("a", "b"):
        for modality in ("rgb", "ir"):
            (tmp_path / modality / name).mkdir(parents=True)
            Image.new("RGB", (32, 64), (90, 90, 90)).save(tmp_path / modality / name / "c1_1.png")
    reference = ["--reference", str(tmp_path / "rgb"), "--reference-modality", "rgb"]
    picture = tmp_path / "answers.png"
    image = ["--image", str(tmp_path / "ir"), "--modality", "ir", "--labeled", "--save-picture", str(picture)]
    assert main(["identify", *words["model"], *reference, *image]) == 0
    assert "best category correct: 1 of 2 images" in capsys.readouterr().out and picture.exists()
    flags = ["--images", str(tmp_path / "ir"), "--modality", "ir", "--rate", "0.5"]
    assert main(["calibrate", *words["model"], *reference, *flags]) == 0
    assert "identified (falsely)  0.00 %" in capsys.readouterr().out  # equal scores are rejected together
    for name in ("a", "b"):
        (tmp_path / "ir" / name).rename(tmp_path / "ir" / f"other {name}")
    assert main(["calibrate", *words["model"], *reference, *flags]) == 0
    assert "no image has a category among the references" in capsys.readouterr().out
    flags = ["--rgb", str(tmp_path / "rgb/a/c1_1.png"), "--out", str(tmp_path / "one.npz")]
    assert main(["extract", *words["model"], *flags]) == 0
    assert "1 images (1 RGB, 0 IR) of 1 identities" in capsys.readouterr().out


def test_extract_takes_the_first_folder_as_identity_and_each_file_once(tmp_path, words, photos, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    first = sorted((photos / "rgb").iterdir())[0]
    for name in ("x/2026/may", "y"):
        (tmp_path / "set" / name).mkdir(parents=True)
        shutil.copy(list_images(first)[0], tmp_path / "set" / name / "c1_1.jpg")
    (tmp_path / "set/z").symlink_to(tmp_path / "set/y")
    argv = ["extract", *words["model"], "--rgb", "~/set", str(tmp_path / "set/x"), "--out", "~/features.npz"]
    assert main(argv) == 0
    assert "2 images (2 RGB, 0 IR) of 2 identities" in capsys.readouterr().out
    data = load_features(tmp_path / "features.npz")
    assert data.pids.tolist() == [0, 1]


def test_extract_marks_the_images_of_negative_folders_as_junk(tmp_path, words, photos, capsys):
    first = sorted((photos / "rgb").iterdir())[0]
    for name in ("-1", "-22", "a"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number, path in enumerate(list_images(first)[:2]):
            shutil.copy(path, tmp_path / "set" / name / f"c1_{number}.jpg")
    out = tmp_path / "features.npz"
    assert main(["extract", *words["model"], "--rgb", str(tmp_path / "set"), "--out", str(out)]) == 0
    assert "6 images (6 RGB, 0 IR), 4 of them junk, of 1 identities" in capsys.readouterr().out
    data = load_features(out)
    assert data.pids.tolist() == [-1] * 4 + [0] * 2 and data.image_numbers.tolist() == [1, 2, 3, 4, 1, 2]


def test_identify_prints_a_name_that_is_not_utf_8(tmp_path, words, photos, capsys):
    image = os.fsdecode(os.fsencode(tmp_path) + b"/\xe9.jpg")
    shutil.copy(list_images(sorted((photos / "ir").iterdir())[0])[0], image)
    assert main(["identify", *words["model"], *words["reference"], "--image", image, "--modality", "ir"]) == 0
    assert r"/\xe9.jpg" in capsys.readouterr().out
