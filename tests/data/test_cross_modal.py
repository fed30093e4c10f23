"""The cross-modal data set: items, sums, combining and its folder."""

import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_rgbir import host, protocols
from torchreid_rgbir.data.cross_modal import CrossModalImageDataset, Item, find_folder
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
    assert found == {"impath": str(tmp_path / "a.png"), "pid": 0, "camid": 3, "dsetid": 0, "modality": IR, "number": 2,
                     "track": 0, "role": 0}  # fmt: skip
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


def test_junk_images_are_not_trained_on(capsys):
    junk = [item._replace(pid=-1) for item in items(1, [1, 3])]
    test = [item._replace(pid=pid) for pid in (40, -1) for item in items(1, [3, 1])]
    query, gallery = ([item for item in test if item.modality == modality] for modality in (IR, RGB))
    dataset = CrossModalImageDataset([*junk, *items(2, [1, 3])], query, gallery, verbose=False)
    dataset.show_summary()
    assert "2 training images have negative labels" in capsys.readouterr().out
    assert dataset.junk == junk and dataset.train == items(2, [1, 3]) and dataset.num_train_pids == 2
    assert dataset.query == query and dataset.gallery == gallery  # the protocol excludes and counts them
    combined = CrossModalImageDataset(items(2, [1, 3]), query, gallery, combineall=True, verbose=False)
    assert [item.pid for item in combined.train] == [0, 0, 1, 1, 2, 2]


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


@pytest.mark.parametrize(
    "old", [{"protocol": protocols.llcm}, {"score": lambda *args: []}, {"check_protocol": lambda *args: None}]
)
def test_a_class_that_scores_itself_is_refused(fails, old):
    with fails(ValueError, "MySet", "LLCMProtocol()"):
        type("MySet", (CrossModalImageDataset,), old)
    type("MySet", (CrossModalImageDataset,), {"protocol": protocols.LLCMProtocol()})


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
