"""The cross-modal data set: items, sums, combining, and reading images."""

import os
import pickle
import shutil
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from torchreid_rgbir import host
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item, find_folder
from torchreid_rgbir.data.images import list_images, read_image
from torchreid_rgbir.modality import IR, RGB
from torchreid_rgbir.protocols import StandardProtocol


def items(num_ids, camids, first=0, dsetids=(0,)):
    """One image of each identity, camera and data set; cameras 3 and 6 are infrared."""
    return [
        Item(f"{dsetid}_{pid}_{camid}.png", pid, camid, dsetid, IR if camid in (3, 6) else RGB, 1)
        for dsetid in dsetids
        for pid in range(first, first + num_ids)
        for camid in camids
    ]


def make(num_ids=2, camids=(1, 3), test=(40, 41), **options):
    query, gallery = ([*items(1, camids, first=pid)] for pid in test)
    both = [*query, *gallery]
    return CrossModalImageDataset(
        items(num_ids, camids),
        [item for item in both if item.modality == IR],
        [item for item in both if item.modality == RGB],
        verbose=False,
        **options,
    )


def test_an_item_is_torchreids_tuple_first():
    item = Item("a.png", 5, 2, 1, IR, 3)
    assert item[:4] == ("a.png", 5, 2, 1)


def test_getitem_gives_image_and_fields(tmp_path):
    Image.new("RGB", (4, 6), (10, 20, 30)).save(tmp_path / "a.png")
    train = [Item(str(tmp_path / "a.png"), 0, 3, 0, IR, 2)]
    dataset = CrossModalImageDataset(train, items(1, [3]), items(1, [1]), verbose=False)
    found = dataset[0]
    assert found.pop("img").getpixel((3, 5)) == (10, 20, 30)
    assert found == {"impath": str(tmp_path / "a.png"), "pid": 0, "camid": 3, "dsetid": 0, "modality": IR, "number": 2}
    assert len(dataset) == 1

    dataset.transform = lambda image: torch.tensor(image.getpixel((0, 0)))
    assert dataset[0]["img"].tolist() == [10, 20, 30]
    dataset.k_tfm = 2
    assert [img.tolist() for img in dataset[0]["img"]] == [[10, 20, 30]] * 2


@pytest.mark.parametrize("mode", ["train", "query", "gallery"])
def test_mode_chooses_the_data(mode):
    dataset = make(mode=mode)
    assert dataset.data == getattr(dataset, mode)


@pytest.mark.parametrize("empty, name", [(0, "training"), (1, "query"), (2, "gallery")])
def test_an_empty_list_is_named(fails, empty, name):
    lists = [items(1, [1]), items(1, [3]), items(1, [1])]
    lists[empty] = []
    with fails(ValueError, f"no {name} images"):
        CrossModalImageDataset(*lists, verbose=False)


def test_a_sum_keeps_modality_and_class(tmp_path):
    first, second, third = make(2), make(3, camids=(1, 2, 6)), make(4)
    total = sum([first, second, third])
    assert isinstance(total, CrossModalImageDataset)
    assert len(total.train) == len(first.train) + len(second.train) + len(third.train)
    assert [item.modality for item in total.train] == [
        item.modality for part in (first, second, third) for item in part.train
    ]
    assert [item.impath for item in total.train] == [
        item.impath for part in (first, second, third) for item in part.train
    ]
    # Identities, cameras and data sets of the parts stay apart, and identities have no gap.
    assert [item.dsetid for item in total.train] == [0] * 4 + [1] * 9 + [2] * 8
    assert sorted({item.pid for item in total.train}) == list(range(9)) and total.num_train_pids == 9
    groups = [{(i.pid, i.camid) for i in total.train if i.dsetid == dsetid} for dsetid in range(3)]
    for column in range(2):
        values = [{pair[column] for pair in group} for group in groups]
        assert sum(map(len, values)) == len(set().union(*values))
    assert total.num_train_cams == 2 + 3 + 2 and total.num_datasets == 3
    assert (total.query, total.gallery) == (first.query, first.gallery)
    assert len(first.train) == 4  # the parts are left as they were


def test_a_sum_reads_its_images(tmp_path):
    Image.new("L", (4, 6), 9).save(tmp_path / "a.png")
    parts = []
    for modality in (RGB, IR):
        train = [Item(str(tmp_path / "a.png"), 0, 1, 0, modality, 1)]
        parts.append(CrossModalImageDataset(train, items(1, [3]), items(1, [1]), verbose=False))
    total = sum(parts)
    total.transform = lambda image: np.asarray(image).mean()
    assert [total[i]["modality"] for i in range(2)] == [RGB, IR]
    assert [total[i]["img"] for i in range(2)] == [9, 9]


def test_a_sum_of_one_is_itself():
    dataset = make()
    assert sum([dataset]) is dataset


def test_combine_all_adds_the_test_images_with_labels_of_their_own():
    plain, combined = make(3), make(3, combineall=True)
    assert len(combined.train) == len(plain.train) + len(plain.query) + len(plain.gallery)
    assert combined.train[: len(plain.train)] == plain.train
    added = combined.train[len(plain.train) :]
    label = {40: 3, 41: 4}
    assert [item.pid for item in added] == [label[item.pid] for item in (*plain.query, *plain.gallery)]
    assert [item.modality for item in added] == [item.modality for item in (*plain.query, *plain.gallery)]
    assert combined.num_train_pids == 5 and combined.data == combined.train
    # The test sets are still the data set's own.
    assert combined.query == plain.query and combined.gallery == plain.gallery


def test_a_sum_of_combined_sets_has_no_gap():
    total = make(2, combineall=True) + make(3, combineall=True)
    assert {item.pid for item in total.train} == set(range(2 + 2 + 3 + 2))


def test_it_travels_to_a_worker():
    dataset = make()
    assert pickle.loads(pickle.dumps(dataset)).train == dataset.train


def test_summary_counts(capsys):
    make(2, camids=(1, 2, 3)).show_summary()
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if "|" in line][1:]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["train", "2", "4", "2", "3"],
        ["query", "2", "0", "2", "1"],
        ["gallery", "2", "4", "0", "2"],
    ]


def test_a_dataset_that_names_no_protocol_has_the_standard_one():
    dataset = make(3, camids=(1, 2, 3))
    assert isinstance(dataset.protocol, StandardProtocol)
    dataset.protocol.check(dataset.test_labels())


def test_labels_of_the_test_images():
    dataset = make(3, camids=(1, 2, 3))
    labels, items = dataset.test_labels(), [*dataset.query, *dataset.gallery]
    assert labels.features.shape == (len(items), 0)
    for column, key in (("pids", "pid"), ("camids", "camid"), ("modalities", "modality"), ("image_numbers", "number")):
        assert getattr(labels, column).tolist() == [getattr(item, key) for item in items]


def test_a_sum_with_a_one_modality_set_says_so(fails):
    plain = host.data.ImageDataset([("a.png", 0, 0)], [("a.png", 0, 0)], [("a.png", 0, 0)], verbose=False)
    with fails(ValueError, "modality"):
        sum([make(), plain])


MODES = {
    "gray.png": ("L", 77, (77, 77, 77)),
    "bits.png": ("1", 1, (255, 255, 255)),
    "gray_alpha.png": ("LA", (77, 3), (77, 77, 77)),
    "alpha.png": ("RGBA", (10, 20, 30, 0), (10, 20, 30)),
    "rgb.png": ("RGB", (10, 20, 30), (10, 20, 30)),
    "rgb.bmp": ("RGB", (10, 20, 30), (10, 20, 30)),
    "cmyk.jpg": ("CMYK", (0, 0, 0, 0), (255, 255, 255)),
    "gray.jpg": ("L", 77, (77, 77, 77)),
}


@pytest.mark.parametrize("name", MODES)
def test_every_kind_of_image_becomes_rgb(tmp_path, name):
    mode, color, expected = MODES[name]
    Image.new(mode, (5, 7), color).save(tmp_path / name)
    assert Image.open(tmp_path / name).mode == mode
    image = read_image(str(tmp_path / name))
    assert image.mode == "RGB" and image.size == (5, 7)
    np.testing.assert_allclose(image.getpixel((2, 3)), expected, atol=1)


def test_a_palette_image_becomes_rgb(tmp_path):
    image = Image.new("P", (5, 7), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "a.png", transparency=0)
    assert read_image(str(tmp_path / "a.png")).getpixel((0, 0)) == (10, 20, 30)


def test_a_16_bit_image_keeps_its_contrast(tmp_path):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "thermal.png")
    assert Image.open(tmp_path / "thermal.png").mode.startswith("I")
    pixels = np.asarray(read_image(str(tmp_path / "thermal.png")))
    np.testing.assert_allclose(pixels[:, :, 0], ramp / 257, atol=1)
    assert (pixels == pixels[:, :, :1]).all()


def test_unreadable_images(tmp_path, fails):
    path = tmp_path / "a.jpg"
    with fails(FileNotFoundError, path, "missing"):
        read_image(str(path))
    path.write_bytes(b"")
    with fails(ValueError, path, "0 bytes"):
        read_image(str(path))
    path.write_text("<html>404</html>\n")
    with fails(ValueError, path, "not an image"):
        read_image(str(path))
    Image.effect_noise((64, 64), 90).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with fails(ValueError, path, "truncated"):
        read_image(str(path))
    with fails(ValueError, tmp_path):
        read_image(str(tmp_path))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF"])
def test_the_contents_say_what_an_image_is_not_its_name(tmp_path, kind):
    Image.new("RGB", (5, 7), (10, 200, 30)).save(tmp_path / "a.jpg", kind)
    np.testing.assert_allclose(read_image(str(tmp_path / "a.jpg")).getpixel((2, 3)), (10, 200, 30), atol=4)


def test_a_file_that_would_start_a_program_is_not_an_image(tmp_path, fails):
    Image.new("RGB", (5, 7)).save(tmp_path / "a.jpg", "EPS")
    with fails(ValueError, tmp_path / "a.jpg", "not an image"):
        read_image(str(tmp_path / "a.jpg"))


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_000, 60_000])
def test_a_small_file_that_claims_to_be_huge(tmp_path, fails, side):
    header = b"\x89PNG\r\n\x1a\n"
    for name, data in ((b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b""))):
        header += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    (tmp_path / "a.png").write_bytes(header)
    with fails(ValueError, tmp_path / "a.png", "pixels"):
        read_image(str(tmp_path / "a.png"))


def test_an_image_that_may_not_be_read(tmp_path, fails, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")  # root, who may run the tests, may read everything

    monkeypatch.setattr(Image, "open", refuse)
    with fails(ValueError, tmp_path / "a.png", "Permission denied"):
        read_image(str(tmp_path / "a.png"))


def test_only_files_are_listed(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")  # reading it would wait for ever
    assert list_images(tmp_path) == [str(tmp_path / "a.jpg")]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore::UserWarning")
@settings(deadline=None, max_examples=150)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "BMP"]),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6),
)
def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path_factory, kind, cut, flips):
    path = tmp_path_factory.mktemp("damaged") / "a.jpg"
    Image.effect_noise((16, 24), 90).convert("RGB").save(path, kind)
    data = bytearray(path.read_bytes())
    for place, value in flips:
        data[int(place * len(data))] = value
    path.write_bytes(data[: int(cut * len(data)) + 1])
    try:
        assert read_image(str(path)).mode == "RGB"
    except ValueError as error:
        assert str(path) in str(error) and "\n" not in str(error)
    finally:
        shutil.rmtree(path.parent)


def test_find_folder(tmp_path, fails):
    folder = tmp_path / "Some-Set"
    (folder / "idx").mkdir(parents=True)
    (folder / "idx" / "a.txt").write_text("")
    needed = ["idx", "idx/a.txt"]
    assert find_folder(str(tmp_path), "Some-Set", needed) == find_folder(str(folder), "Some-Set", needed) == folder
    with fails(FileNotFoundError, folder / "idx/b.txt", "--root", "Some-Set", "idx/a.txt"):
        find_folder(str(tmp_path), "Some-Set", [*needed, "idx/b.txt"])
    with fails(FileNotFoundError, tmp_path / "idx", "Other-Set"):
        find_folder(str(tmp_path), "Other-Set", needed)
    with fails(FileNotFoundError, tmp_path / "x", "Some-Set"):
        find_folder(str(tmp_path / "x"), "Some-Set", needed)


def test_find_folder_takes_relative_and_home_paths(tmp_path, monkeypatch):
    (tmp_path / "Some-Set").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for root in ("", ".", "Some-Set", "~", "~/Some-Set"):
        folder = find_folder(root, "Some-Set", [])
        assert folder.is_absolute() and folder.samefile(tmp_path / "Some-Set")


def test_list_images(tmp_path):
    for name in ("10.jpg", "9.JPG", "2.png", "1.jpeg", "0.bmp", "notes.txt", "Thumbs.db", "jpg"):
        (tmp_path / name).write_text("")
    assert [path.rsplit("/", 1)[1] for path in list_images(tmp_path)] == ["0.bmp", "1.jpeg", "10.jpg", "2.png", "9.JPG"]
    assert list_images(tmp_path / "nowhere") == []


def test_list_images_leaves_folders_out_and_broken_links_in(tmp_path):
    (tmp_path / "1.jpg").mkdir()
    (tmp_path / "2.jpg").symlink_to(tmp_path / "nowhere")  # left out, it would shift the numbers unnoticed
    assert list_images(tmp_path) == [str(tmp_path / "2.jpg")]


def test_list_images_leaves_hidden_files_out(tmp_path):
    for name in ("1.jpg", "._1.jpg"):
        (tmp_path / name).write_text("")
    assert list_images(tmp_path) == [str(tmp_path / "1.jpg")]
