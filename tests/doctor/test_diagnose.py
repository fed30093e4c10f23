"""`doctor` on data sets that are broken in the ways that users meet."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from torchreid_rgbir.cli import main
from torchreid_rgbir.doctor.diagnose import diagnose
from torchreid_rgbir.synthetic.write import synthesize

FILES = {"rgb": ["c1_a.jpg", "c2_a.jpg"], "ir": ["c3_a.jpg"]}


def problems(diagnosis):
    return [finding.text for finding in diagnosis.findings if finding.problem]


def notes(diagnosis):
    return [finding.text for finding in diagnosis.findings if not finding.problem]


def details(diagnosis, part):
    (found,) = [finding.details for finding in diagnosis.findings if part in finding.text]
    return list(found)


@pytest.fixture
def sysu(tmp_path, write_sysu):
    """A small SYSU-MM01 that says of itself that it is synthetic."""
    folder = write_sysu(tmp_path, train=(3, 7), val=(5,), test=(2, 9), num_images=2)
    (folder / "synthetic.json").write_text('{"num_train_ids": 3, "num_test_ids": 2}')
    return folder


@pytest.fixture
def people(tmp_path, write_folder):
    return write_folder(tmp_path, ["a", "b", "c"], ["d", "e"], FILES)


@pytest.mark.parametrize("layout", ["sysu_mm01", "regdb", "llcm", "folder"])
def test_a_synthetic_set_is_healthy(tmp_path, layout, capsys):
    written = synthesize(layout, tmp_path / "set", num_ids=10, images_per_camera=1, workers=1)
    name = "rgbir_folder" if layout == "folder" else layout
    diagnosis = diagnose(name, tmp_path / "set")
    assert diagnosis.healthy and diagnosis.synthetic and not diagnosis.findings
    assert diagnosis.num_images == written["num_rgb_images"] + written["num_ir_images"]
    assert main(["doctor", "--dataset", name, "--root", str(tmp_path / "set")]) == 0
    printed = capsys.readouterr()
    assert "synthetic" in printed.out and "ready for training" in printed.out and not printed.err


def test_counts_of_a_synthetic_set(sysu):
    counts = {count.what: (count.found, count.expected) for count in diagnose("sysu_mm01", sysu).counts}
    assert counts == {
        "training identities": (3, 3),
        "training RGB images": (24, None),
        "training IR images": (12, None),
        "test identities": (2, 2),
        "query images (IR)": (8, None),
        "gallery images (RGB)": (16, None),
    }


def test_root_may_be_the_archive(tmp_path, sysu, capsys):
    made = shutil.make_archive(str(tmp_path / "handed out"), "zip", sysu.parent, sysu.name)
    assert main(["doctor", "--dataset", "sysu_mm01", "--root", made]) == 0
    assert f"sysu_mm01 in {tmp_path / 'handed out' / sysu.name}" in capsys.readouterr().out
    (tmp_path / "broken.zip").write_bytes(b"PK")
    assert main(["doctor", "--dataset", "sysu_mm01", "--root", str(tmp_path / "broken.zip")]) == 2
    assert "broken.zip cannot be unpacked" in capsys.readouterr().err


def test_root_is_the_folder_or_its_parent(sysu, monkeypatch):
    monkeypatch.chdir(sysu.parent)
    assert diagnose("sysu_mm01", sysu) == diagnose("sysu_mm01", sysu.parent) == diagnose("sysu_mm01", "SYSU-MM01/../")


@pytest.mark.parametrize(
    "name, writer, expected",
    [
        ("sysu_mm01", "write_sysu", [395, 22258, 11909, 96, 3803, 6775]),
        ("regdb", "write_regdb", [206, 2060, 2060, 206, 2060, 2060]),
        ("llcm", "write_llcm", [713, None, None, 351, None, None]),
    ],
)
def test_published_counts(tmp_path, request, name, writer, expected, capsys):
    request.getfixturevalue(writer)(tmp_path)
    diagnosis = diagnose(name, tmp_path)
    assert not diagnosis.synthetic
    assert [count.expected for count in diagnosis.counts] == expected
    assert [text for text in problems(diagnosis) if "published" in text] == problems(diagnosis) != []
    wrong = [f"{c.what}: {c.found} instead of {c.expected}" for c in diagnosis.counts if c.expected]
    assert details(diagnosis, "published") == wrong
    assert main(["doctor", "--dataset", name, "--root", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    for line in wrong:
        assert line in printed


def test_a_folder_of_ones_own_has_no_published_counts(people):
    diagnosis = diagnose("rgbir_folder", people)
    assert diagnosis.healthy and not diagnosis.synthetic and not diagnosis.findings
    assert [count.expected for count in diagnosis.counts] == [None] * 6
    assert [count.found for count in diagnosis.counts] == [3, 6, 3, 2, 2, 4]


def test_a_changed_synthetic_set_is_a_note(sysu):
    (sysu / "synthetic.json").write_text('{"num_train_ids": 4, "num_test_ids": 2}')
    diagnosis = diagnose("sysu_mm01", sysu)
    assert diagnosis.healthy and details(diagnosis, "synthetic.json") == ["training identities: 3 instead of 4"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"num_train_ids": null, "num_test_ids": 1}', "\x00"])
def test_a_synthetic_set_with_a_broken_summary(sysu, text):
    (sysu / "synthetic.json").write_text(text)
    diagnosis = diagnose("sysu_mm01", sysu)
    assert diagnosis.synthetic and diagnosis.healthy


def break_image(path, how):
    whole = path.read_bytes()
    if how == "zero bytes":
        path.write_bytes(b"")
    elif how == "truncated":
        path.write_bytes(whole[: len(whole) * 3 // 4])
    elif how == "text":
        path.write_text("<html>404</html>")
    elif how == "dangling link":
        path.unlink()
        path.symlink_to(path.parent / "nowhere.jpg")


@pytest.mark.parametrize(
    "how, says",
    [
        ("zero bytes", "0 bytes"),
        ("truncated", "cannot be read"),
        ("text", "not an image"),
        ("dangling link", "missing"),
    ],
)
def test_unreadable_images(sysu, capsys, how, says):
    broken = [sysu / "cam1" / "0003" / "0001.jpg", sysu / "cam6" / "0009" / "0002.jpg"]
    for path in broken:
        break_image(path, how)
    diagnosis = diagnose("sysu_mm01", sysu)
    assert len(problems(diagnosis)) == 1 and problems(diagnosis)[0].startswith("2 images that cannot be read")
    found = details(diagnosis, "cannot be read")
    assert [line.startswith(str(path)) and says in line for line, path in zip(found, broken, strict=True)] == [True] * 2
    assert main(["doctor", "--dataset", "sysu_mm01", "--root", str(sysu)]) == 1
    printed = capsys.readouterr().out
    assert all(str(path) in printed for path in broken) and "replace" in printed


def test_the_last_bytes_of_an_image_are_decoded_too(sysu):
    path = sysu / "cam1" / "0003" / "0001.jpg"
    Image.effect_noise((144, 288), 90).save(path)
    path.write_bytes(path.read_bytes()[:-2000])
    Image.open(path)  # its header is fine
    assert not diagnose("sysu_mm01", sysu).healthy


def test_an_unreadable_image_that_nobody_uses_is_a_note(sysu, write_image):
    for path in (sysu / "cam1" / "0400" / "0001.jpg", sysu / "cam2" / "0400" / "0001.jpg"):
        write_image(path)
    break_image(path, "text")
    diagnosis = diagnose("sysu_mm01", sysu)
    assert diagnosis.healthy and len(notes(diagnosis)) == 2
    assert details(diagnosis, "no list names and that cannot be read")[0].startswith(str(path))
    assert details(diagnosis, "1 readable image that no list names") == ["cam1/0400/0001.jpg"]


def test_files_that_are_not_images(people):
    (people / "train" / "rgb" / "a" / "Thumbs.db").write_bytes(b"x")
    (people / "test" / "ir" / "readme.txt").write_text("x")
    (people / "readme.txt").write_text("not in an image folder")
    diagnosis = diagnose("rgbir_folder", people)
    assert diagnosis.healthy and diagnosis.num_images == 5 * 3
    assert details(diagnosis, "2 files other than images") == [
        str(people / "test/ir/readme.txt"),
        str(people / "train/rgb/a/Thumbs.db"),
    ]


def test_files_of_a_mac_are_not_images(people):
    (people / "train" / "rgb" / "a" / "._0001.jpg").write_bytes(b"x")
    diagnosis = diagnose("rgbir_folder", people)
    assert diagnosis.num_images == 5 * 3
    assert details(diagnosis, "1 file other than images") == [str(people / "train/rgb/a/._0001.jpg")]


def test_training_identities_of_one_modality(people):
    shutil.rmtree(people / "train" / "ir" / "b")
    diagnosis = diagnose("rgbir_folder", people)
    assert len(problems(diagnosis)) == 1 and "RGB images only" in problems(diagnosis)[0]
    assert details(diagnosis, "RGB images only") == ["train/rgb/b"]
    shutil.rmtree(people / "train" / "rgb" / "c")
    diagnosis = diagnose("rgbir_folder", people)
    assert details(diagnosis, "IR images only") == ["train/ir/c"]
    assert any("fewer than 2" in text for text in problems(diagnosis))


def test_test_identities_without_a_match(people):
    shutil.rmtree(people / "test" / "rgb" / "d")
    diagnosis = diagnose("rgbir_folder", people)
    assert diagnosis.healthy and details(diagnosis, "1 of 2 query images") == ["test/ir/d"]
    shutil.rmtree(people / "test" / "ir" / "e")
    diagnosis = diagnose("rgbir_folder", people)
    assert details(diagnosis, "1 test identity with RGB images only") == ["test/rgb/e"]
    assert details(diagnosis, "1 of 1 query image without a match") == ["test/ir/d"]
    assert len(problems(diagnosis)) == 1 and "nothing can be scored" in problems(diagnosis)[0]


def test_test_identities_that_no_query_asks_for_are_a_note(people):
    shutil.rmtree(people / "test" / "ir" / "e")
    diagnosis = diagnose("rgbir_folder", people)
    assert diagnosis.healthy and notes(diagnosis) == [
        "1 test identity with RGB images only, for which there is no IR query"
    ]


def test_one_camera_number_for_both_modalities_is_explained(tmp_path, write_folder):
    # The protocol ignores gallery images of the query's own identity and camera.
    write_folder(tmp_path, ["a", "b"], ["d", "e"], {"rgb": ["c1_a.jpg"], "ir": ["c1_b.jpg"]})
    (text,) = problems(diagnose("rgbir_folder", tmp_path))
    assert "nothing can be scored" in text and "give RGB and IR cameras different numbers" in text
    (tmp_path / "test" / "rgb" / "d" / "c1_a.jpg").rename(tmp_path / "test" / "rgb" / "d" / "c2_a.jpg")
    diagnosis = diagnose("rgbir_folder", tmp_path)
    assert diagnosis.healthy and "1 of 2 query images without a match" in notes(diagnosis)[0]
    assert "give RGB and IR cameras different numbers" in notes(diagnosis)[0]


def test_test_identities_named_differently_in_the_modalities(tmp_path, write_folder):
    write_folder(tmp_path, ["a", "b"], ["d"], {"rgb": ["a.jpg"], "ir": ["b.jpg"]})
    (tmp_path / "test" / "rgb" / "d").rename(tmp_path / "test" / "rgb" / "D")
    (text,) = problems(diagnose("rgbir_folder", tmp_path))
    assert "nothing can be scored: give the identities of test/ the same names" in text


def test_an_identity_name_in_training_and_test_is_a_note(people):
    shutil.move(people / "test" / "rgb" / "d", people / "test" / "rgb" / "a")
    shutil.move(people / "test" / "ir" / "d", people / "test" / "ir" / "a")
    diagnosis = diagnose("rgbir_folder", people)
    assert diagnosis.healthy and details(diagnosis, "1 identity name in train/ and in test/") == ["a"]


def test_readable_images_at_places_where_none_is_read_are_a_problem(people, write_image, capsys):
    loose = ["test/loose.webp", "train/rgb/loose.TIF"]
    for path in loose:
        write_image(people / path)
    (people / "train" / "rgb" / "broken.jpg").write_bytes(b"")
    diagnosis = diagnose("rgbir_folder", people)
    assert len(problems(diagnosis)) == 1 and details(diagnosis, "2 readable images at a place") == loose
    assert main(["doctor", "--dataset", "rgbir_folder", "--root", str(people)]) == 1
    printed = capsys.readouterr().out
    assert "PROBLEM: 2 readable images" in printed and "move them" in printed and "train/rgb/loose.TIF" in printed


@pytest.mark.parametrize("place", ["cam1/0003/day1/0001.jpg", "cam1/loose.jpg"])
def test_images_of_an_official_layout_at_another_depth_are_a_problem(sysu, write_image, place):
    write_image(sysu / place)
    diagnosis = diagnose("sysu_mm01", sysu)
    assert len(problems(diagnosis)) == 1 and details(diagnosis, "1 readable image at a place") == [place]


def test_a_link_to_an_image_that_is_listed_already_is_a_note(people):
    (people / "train" / "rgb" / "loop").symlink_to(people / "train" / "rgb" / "a")
    (people / "train" / "rgb" / "b" / "copy.jpg").symlink_to("c1_a.jpg")
    links = details(diagnose("rgbir_folder", people), "to a file or folder that is listed already")
    assert f"{people}/train/rgb/b/copy.jpg is {people}/train/rgb/b/c1_a.jpg" in links


def test_a_link_loop_is_a_problem_that_names_the_link(people):
    (people / "train" / "rgb" / "a" / "back").symlink_to("..")
    diagnosis = diagnose("rgbir_folder", people)
    (text,) = {text for text in problems(diagnosis) if "back to itself" in text}
    assert str(people / "train" / "rgb" / "a" / "back") in text


def test_unknown_cameras_are_never_the_same(tmp_path, write_folder):
    write_folder(tmp_path, ["a", "b"], ["d"], {"rgb": ["a.jpg"], "ir": ["b.jpg"]})
    assert not diagnose("rgbir_folder", tmp_path).findings


def test_sysu_queries_of_camera_3_skip_camera_2(tmp_path, write_sysu):
    folder = write_sysu(tmp_path, without=[(1, 2), (4, 2), (5, 2), (6, 2)])
    (folder / "synthetic.json").write_text("{}")
    assert details(diagnose("sysu_mm01", folder), "2 of 6 query images") == ["cam3/0002"]


def test_llcm_queries_skip_their_own_camera(tmp_path, write_llcm):
    folder = write_llcm(tmp_path, test=(3, 8), num_images=1)
    (folder / "synthetic.json").write_text("{}")
    for camid in range(1, 10):
        if camid != 4:
            shutil.rmtree(folder / "test_vis" / f"cam{camid}" / "0003")
    assert details(diagnose("llcm", folder), "1 of 16 query images") == ["test_nir/cam4/0003"]


def test_an_empty_camera_folder(sysu):
    shutil.rmtree(sysu / "cam4")
    (sysu / "cam4" / "0003").mkdir(parents=True)
    (sysu / "cam4" / "0003" / "notes.txt").write_text("")
    diagnosis = diagnose("sysu_mm01", sysu)
    assert details(diagnosis, "1 camera folder without any image") == ["cam4"] and not diagnosis.healthy


def test_an_empty_camera_folder_of_llcm(tmp_path, write_llcm):
    folder = write_llcm(tmp_path)
    shutil.rmtree(folder / "test_vis" / "cam3")
    (folder / "test_nir" / "cam9").rename(folder / "test_nir" / "cam3")
    found = details(diagnose("llcm", folder), "2 camera folders without any image")
    assert found == ["test_vis/cam3", "test_nir/cam9"]


def test_a_missing_permutation_file(sysu):
    (sysu / "exp" / "rand_perm_cam.mat").unlink()
    (text,) = problems(diagnose("sysu_mm01", sysu))
    assert "rand_perm_cam.mat is missing" in text and "agw" in text


@pytest.mark.parametrize("content", [b"", b"not a mat file", b"\x00" * 400])
def test_an_unreadable_permutation_file(sysu, content):
    (sysu / "exp" / "rand_perm_cam.mat").write_bytes(content)
    (text,) = problems(diagnose("sysu_mm01", sysu))
    assert "rand_perm_cam.mat" in text and "agw" in text and "\n" not in text


def test_a_permutation_file_of_something_else(sysu):
    savemat(sysu / "exp" / "rand_perm_cam.mat", {"rand": np.eye(3)})
    (text,) = problems(diagnose("sysu_mm01", sysu))
    assert "rand_perm_cam.mat" in text


def test_permutations_that_do_not_fit(sysu, write_image):
    write_image(sysu / "cam1" / "0002" / "0003.jpg")
    (sysu / "cam5" / "0009" / "0002.jpg").unlink()
    (sysu / "exp" / "test_id.txt").write_text("2,9,10")  # the file ends with identity 9
    for camid in range(1, 7):
        write_image(sysu / f"cam{camid}" / "0010" / "0001.jpg")
    diagnosis = diagnose("sysu_mm01", sysu)
    assert not diagnosis.healthy
    assert details(diagnosis, "8 folders unlike") == [
        "cam1/0002: 3 images, 2 in the file",
        "cam1/0010: 1 image, 0 in the file",
        "cam2/0010: 1 image, 0 in the file",
        "cam3/0010: 1 image, 0 in the file",
        "cam4/0010: 1 image, 0 in the file",
        "cam5/0009: 1 image, 2 in the file",
        "cam5/0010: 1 image, 0 in the file",
        "cam6/0010: 1 image, 0 in the file",
    ]


def test_a_training_identity_is_in_no_permutation(sysu, write_image):
    write_image(sysu / "cam1" / "0003" / "0003.jpg")
    assert diagnose("sysu_mm01", sysu).healthy


@pytest.mark.parametrize(
    "name, writer, lost",
    [
        ("sysu_mm01", "write_sysu", "exp/test_id.txt"),
        ("regdb", "write_regdb", "Thermal"),
        ("llcm", "write_llcm", "idx/train_nir.txt"),
    ],
)
def test_a_layout_too_broken_to_load(tmp_path, request, name, writer, lost, capsys):
    folder = request.getfixturevalue(writer)(tmp_path)
    shutil.rmtree(folder / lost) if (folder / lost).is_dir() else (folder / lost).unlink()
    diagnosis = diagnose(name, folder)
    assert not diagnosis.counts and not diagnosis.healthy
    assert any(str(folder / lost) in text for text in problems(diagnosis))
    assert diagnosis.num_images > 0  # those that are there are opened all the same
    image = next(path for path in sorted(folder.rglob("*")) if path.suffix in (".jpg", ".bmp"))
    image.write_bytes(b"")
    diagnosis = diagnose(name, folder)
    assert details(diagnosis, "1 image that cannot be read: replace") == [f"{image} cannot be read (it has 0 bytes)"]
    assert any(text.startswith("1 image that cannot") for text in problems(diagnosis))  # it may well be used
    assert main(["doctor", "--dataset", name, "--root", str(tmp_path)]) == 1
    assert str(folder / lost) in capsys.readouterr().out


def test_a_folder_that_is_no_data_set(tmp_path):
    (tmp_path / "holiday.jpg").write_bytes(b"")
    for name in ("sysu_mm01", "regdb", "llcm", "rgbir_folder"):
        diagnosis = diagnose(name, tmp_path)
        assert len(problems(diagnosis)) == 1 and diagnosis.num_images == 0


def test_every_split_of_regdb_is_checked(tmp_path, write_regdb):
    folder = write_regdb(tmp_path)
    (folder / "idx" / "test_thermal_7.txt").write_text("Thermal/1\n")
    diagnosis = diagnose("regdb", folder)
    assert [text for text in problems(diagnosis) if text.startswith("split 7: ") and "line 1" in text]
    (folder / "synthetic.json").write_text('{"num_train_ids": 2, "num_test_ids": 2}')
    (folder / "idx" / "test_thermal_7.txt").unlink()
    (text,) = problems(diagnose("regdb", folder))
    assert text.startswith("split 7: ") and "test_thermal_7.txt" in text


def test_an_image_that_every_split_of_regdb_misses_is_one_problem(tmp_path, write_regdb, capsys):
    folder = write_regdb(tmp_path)
    image = folder / "Thermal" / "2" / "thermal_00002.bmp"
    image.unlink()
    diagnosis = diagnose("regdb", folder)
    (found,) = [finding for finding in diagnosis.findings if str(image) in finding.text]
    assert found.text.startswith(f"split 1, 2, 3, 4, 5, 6, 7, 8, 9, 10: {image} is missing")
    assert len(found.details) == 9 and "test_thermal_3.txt" in found.details[1]
    assert main(["doctor", "--dataset", "regdb", "--root", str(tmp_path)]) == 1
    assert "1 problem to fix" in capsys.readouterr().out


def test_a_split_is_named_before_what_is_counted_in_it(tmp_path, write_regdb):
    folder = write_regdb(tmp_path, num_ids=8)
    path = folder / "idx" / "train_thermal_4.txt"
    path.write_text("".join(line for line in path.read_text().splitlines(keepends=True) if "Thermal/2/" not in line))
    assert details(diagnose("regdb", folder), "split 4: 1 training identity with RGB images only") == ["Visible/2"]


def test_splits_of_regdb_that_differ_are_counted_apart(tmp_path, write_regdb):
    folder = write_regdb(tmp_path, num_ids=4, num_images=3)
    (folder / "synthetic.json").write_text('{"num_train_ids": 2, "num_test_ids": 2}')
    assert [count.what for count in diagnose("regdb", folder).counts][0] == "each split: training identities"
    path = folder / "idx" / "train_visible_4.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    counts = {count.what: count.found for count in diagnose("regdb", folder).counts}
    assert counts["split 4: training RGB images"] == 5
    assert counts["split 1, 2, 3, 5, 6, 7, 8, 9, 10: training RGB images"] == 6


def test_splits_of_regdb_that_are_not_there(tmp_path, write_regdb):
    folder = write_regdb(tmp_path, splits=[1, 2, 3, 4])
    (folder / "synthetic.json").write_text("{}")
    diagnosis = diagnose("regdb", folder)
    assert diagnosis.healthy and "5, 6, 7, 8, 9, 10" in notes(diagnosis)[0]


def test_images_outside_the_usual_folders_are_opened_if_listed(tmp_path, write_llcm):
    folder = write_llcm(tmp_path)
    (folder / "synthetic.json").write_text("{}")
    (folder / "vis").rename(folder / "pictures")
    path = folder / "idx" / "train_vis.txt"
    path.write_text(path.read_text().replace("vis/", "pictures/"))
    assert diagnose("llcm", folder).healthy
    image = sorted((folder / "pictures").rglob("*.jpg"))[0]
    image.write_bytes(b"")
    assert details(diagnose("llcm", folder), "cannot be read") == [f"{image} cannot be read (it has 0 bytes)"]


def test_mistakes_of_the_user(tmp_path, capsys, fails):
    with fails(ValueError, "'market1501'", "sysu_mm01, regdb, llcm, rgbnt100"):
        diagnose("market1501", tmp_path)
    with fails(FileNotFoundError, tmp_path / "nowhere"):
        diagnose("regdb", tmp_path / "nowhere")
    assert main(["doctor", "--dataset", "market1501", "--root", str(tmp_path)]) == 2
    assert main(["doctor", "--dataset", "regdb", "--root", str(tmp_path / "nowhere")]) == 2
    printed = capsys.readouterr()
    assert not printed.out and len(printed.err.strip().splitlines()) == 2


def test_many_details_are_shown_in_part(tmp_path, write_sysu, capsys):
    folder = write_sysu(tmp_path, num_images=3)
    (folder / "synthetic.json").write_text("{}")
    for path in sorted(folder.rglob("*.jpg"))[:30]:
        path.write_bytes(b"")
    assert main(["doctor", "--dataset", "sysu_mm01", "--root", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("0 bytes") == 20 and "... and 10 more" in printed
    assert len(details(diagnose("sysu_mm01", folder), "cannot be read")) == 30


def test_nothing_is_written(sysu):
    before = sorted((str(path), os.stat(path).st_mtime_ns) for path in sysu.rglob("*"))
    diagnose("sysu_mm01", sysu)
    assert sorted((str(path), os.stat(path).st_mtime_ns) for path in sysu.rglob("*")) == before


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["doctor", "--help"])
    assert exit_.value.code == 0 and "torchreid-rgbir doctor --dataset" in capsys.readouterr().out


def test_the_summary_of_synthesize_is_the_one_that_is_read(tmp_path):
    synthesize("folder", tmp_path / "set", num_ids=5, images_per_camera=1, workers=1)
    assert {"num_train_ids", "num_test_ids"} <= set(json.loads((tmp_path / "set" / "synthetic.json").read_text()))
