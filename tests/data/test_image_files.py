"""Listing image files: which are images, and how folders and links are followed."""

import os

import pytest
from PIL import Image

from torchreid_rgbir.data.image_files import find_files, find_images, list_images
from torchreid_rgbir.data.images import read_image


def test_only_files_are_listed(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")  # reading it would wait for ever
    assert list_images(tmp_path) == [str(tmp_path / "a.jpg")]


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


@pytest.fixture
def tree(tmp_path):
    """A folder with images at several depths, hidden files, and links into it and out of it."""
    root = tmp_path / "root"
    for name in ("b/2.jpg", "b/deep/deeper/1.PNG", "a/3.tif", "a/note.txt", "a/.4.jpg", ".hidden/5.jpg", "6.webp"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "7.jpg").touch()
    return root


def names(root, paths):
    return [os.path.relpath(path, root) for path in paths]


def test_images_are_found_at_any_depth_in_the_order_of_their_paths(tree):
    assert names(tree, find_images(tree)) == ["6.webp", "a/3.tif", "b/2.jpg", "b/deep/deeper/1.PNG"]
    assert names(tree, find_files(tree).others) == [".hidden", "a/.4.jpg", "a/note.txt"]
    assert find_images(tree / "nowhere") == []


def test_a_link_is_followed_once_and_a_file_stays_in_its_own_place(tree):
    (tree / "a" / "all of b").symlink_to("../b")
    (tree / "a" / "again.jpg").symlink_to("../b/2.jpg")
    (tree / "a" / "x").symlink_to(tree.parent / "outside")
    (tree / "b" / "x").symlink_to(tree.parent / "outside")
    (tree / "c").symlink_to(tree / "a" / "x" / "7.jpg")
    (tree / "broken.jpg").symlink_to("nowhere")
    found = find_files(tree)
    expected = ["6.webp", "a/3.tif", "a/x/7.jpg", "b/2.jpg", "b/deep/deeper/1.PNG", "broken.jpg"]
    assert names(tree, found.images) == expected
    duplicates = {os.path.relpath(path, tree): os.path.relpath(known, tree) for path, known in found.duplicates.items()}
    assert duplicates == {"a/all of b": "b", "a/again.jpg": "b/2.jpg", "b/x": "a/x", "c": "a/x/7.jpg"}
    (tree.parent / "link").symlink_to(tree)
    assert names(tree.parent / "link", find_images(tree.parent / "link")) == expected


@pytest.mark.parametrize("target", [".", "..", "../..", "../../outside", "loop.jpg"])
def test_a_link_loop_is_an_error_that_names_the_link(tree, target, fails):
    (tree.parent / "outside" / "back").symlink_to(tree)
    (tree / "b" / "loop.jpg").symlink_to(target)
    with fails(ValueError, tree / "b", "leads back to itself", "remove it"):
        find_images(tree)


def test_a_pipe_is_no_image_and_is_reported(tree):
    os.mkfifo(tree / "a" / "pipe.jpg")
    assert names(tree, find_files(tree).others) == [".hidden", "a/.4.jpg", "a/note.txt", "a/pipe.jpg"]


def test_a_name_that_is_not_utf_8_is_found_and_read(tmp_path):
    path = os.fsencode(tmp_path) + b"/c1_\xe9.png"
    Image.new("L", (5, 7), 9).save(path := os.fsdecode(path))
    assert find_images(tmp_path) == [path] and read_image(path).getpixel((0, 0)) == (9, 9, 9)
