"""The cache of decoded images: what is kept, when it is made anew, and what is left when that fails."""

import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from torchreid_rgbir.data import CrossModalDataManager, cache
from torchreid_rgbir.data.cache import cache_images
from torchreid_rgbir.data.images import read_image
from torchreid_rgbir.data.transforms import Decode


@pytest.fixture
def impaths(tmp_path, write_image):
    paths = [tmp_path / "images" / f"{i}.png" for i in range(5)]
    for path in paths:
        write_image(path)
    return [str(path) for path in paths]


@pytest.mark.parametrize("workers", [0, 1])
def test_building_draws_nothing_that_a_run_would_draw(impaths, tmp_path, workers):
    before = torch.get_rng_state()
    opened(impaths, tmp_path, workers=workers)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def count_reads(monkeypatch):
    seen = []
    monkeypatch.setattr(cache, "read_image", lambda path, *rule: seen.append(path) or read_image(path, *rule))
    return seen


def opened(impaths, tmp_path, **changes):
    return cache_images(
        impaths, **{"height": 12, "width": 8, "kind": "disk", "folder": tmp_path / "cache", "name": "set"} | changes
    )


def files(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").iterdir())


@pytest.mark.parametrize("workers", [0, 2])
def test_holds_what_decoding_gives(impaths, tmp_path, workers):
    images = opened(impaths[::-1], tmp_path, workers=workers)
    assert len(images) == 5
    for impath in impaths:
        assert torch.equal(images[impath], Decode(12, 8)(read_image(impath)))
    assert [path.stat().st_size for path in (tmp_path / "cache").iterdir()] == [5 * 12 * 8 * 3]
    first = images[impaths[0]]
    first += 1  # a tensor of its own
    assert not torch.equal(images[impaths[0]], first)


def test_every_image_is_decoded_once(impaths, tmp_path, count_reads):
    opened(impaths, tmp_path)
    opened([*impaths[::-1], impaths[0]], tmp_path)
    assert sorted(count_reads) == impaths


@pytest.mark.parametrize("change", ["touched", "other pixels", "added", "removed", "resized"])
def test_a_change_is_noticed_and_the_old_file_goes(impaths, tmp_path, count_reads, change):
    old = opened(impaths, tmp_path)
    before = old[impaths[0]]
    count_reads.clear()
    options = {}
    if change == "touched":
        os.utime(impaths[0], ns=(1, 1))
    elif change == "other pixels":
        Image.new("RGB", (8, 16), (9, 9, 9)).save(impaths[0])
    elif change == "added":
        shutil.copy(impaths[0], impaths[0] + ".png")
        impaths.append(impaths[0] + ".png")
    elif change == "removed":
        os.unlink(impaths.pop())
    else:
        options = {"height": 10}
    images = opened(impaths, tmp_path, **options)
    assert len(count_reads) == len(impaths) == len(images)
    height = options.get("height", 12)
    for impath in impaths:
        assert torch.equal(images[impath], Decode(height, 8)(read_image(impath)))
    assert len(files(tmp_path)) == (2 if change == "resized" else 1)  # another size is no newer version
    assert torch.equal(old[impaths[0]], before)  # a run that goes on has its file open


def test_another_rule_for_gray_images_of_many_bits_is_another_file(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(np.arange(7000, 7000 + 12 * 8, dtype=np.uint16).reshape(12, 8)).save(path)
    images = {rule: opened([str(path)], tmp_path, name=rule, ir_range=rule) for rule in ("auto", "dtype", "7000,7190")}
    for rule, cached in images.items():
        assert torch.equal(cached[str(path)], Decode(12, 8)(read_image(str(path), rule)))
    assert [int(cached[str(path)].max()) for cached in images.values()] == [255, 27, 128]
    digests = {cached.path.stem.rpartition("-")[2] for cached in images.values()}
    assert len(digests) == 3
    assert opened([str(path)], tmp_path, ir_range="7000, 7190.0").path.stem.rpartition("-")[2] in digests


def test_a_file_cut_short_is_built_again(impaths, tmp_path):
    images = opened(impaths, tmp_path)
    with open(images.path, "r+b") as file:
        file.truncate(100)
    with pytest.raises(OSError, match="cut short"):
        images[impaths[-1]]
    assert torch.equal(opened(impaths, tmp_path)[impaths[-1]], Decode(12, 8)(read_image(impaths[-1])))


def test_an_image_that_cannot_be_read_leaves_nothing(impaths, tmp_path, fails):
    Path(impaths[3]).write_bytes(b"no image")
    with fails(ValueError, impaths[3], "cannot be read"):
        opened(impaths, tmp_path)
    assert files(tmp_path) == []
    os.unlink(impaths[2])
    with fails(FileNotFoundError, impaths[2], "missing"):
        opened(impaths, tmp_path)


BUILD = """
import sys, time
from torchreid_rgbir.data import cache
read = cache.read_image
cache.read_image = lambda path, rule: (print("reading", flush=True), time.sleep(float(sys.argv[2])), read(path, rule))[2]
images = cache.cache_images(sys.argv[3:], 12, 8, "disk", sys.argv[1], "set")
print(sum(int(images[path].sum()) for path in sys.argv[3:]))
"""


def build(tmp_path, impaths, pause, limit=None):
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(tmp_path / "cache"), str(pause), *impaths],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
    )


def test_two_processes_build_at_once(impaths, tmp_path):
    both = [build(tmp_path, impaths, 0.5) for _ in range(2)]
    expected, reads = str(sum(int(Decode(12, 8)(read_image(path)).sum()) for path in impaths)), []
    for process in both:
        out, error = process.communicate(timeout=60)
        *read, total = out.splitlines()
        assert total == expected, error
        reads += read
    assert len(reads) == len(impaths)  # by one of them
    assert len(files(tmp_path)) == 1


def test_a_file_that_another_run_removes_before_it_is_open_is_built_again(impaths, tmp_path, monkeypatch, count_reads):
    build, path = cache._build, []

    def build_and_lose(target, *args):
        build(target, *args)
        if not path:
            path.append(target)
            opened(impaths, tmp_path, ir_range="dtype")  # the same set of images with a different rule

    monkeypatch.setattr(cache, "_build", build_and_lose)
    images = opened(impaths, tmp_path)
    assert torch.equal(images[impaths[0]], Decode(12, 8)(read_image(impaths[0])))
    assert path == [images.path] and files(tmp_path) == [images.path.name] and len(count_reads) == 15


def test_a_killed_build_leaves_no_broken_cache(impaths, tmp_path, monkeypatch):
    process = build(tmp_path, impaths, 60)
    process.stdout.readline()  # it is decoding
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert [name.endswith(".writing") for name in files(tmp_path)] == [True]
    images = opened(impaths, tmp_path)
    assert torch.equal(images[impaths[0]], Decode(12, 8)(read_image(impaths[0])))
    assert len(files(tmp_path)) == 2  # it may be a build that still goes on
    now = time.time()
    monkeypatch.setattr(cache.time, "time", lambda: now + 2 * cache.MAX_IDLE)
    opened(impaths[:3], tmp_path)
    assert len(files(tmp_path)) == 1


def test_a_disk_that_fills_up_while_writing(impaths, tmp_path):
    out, error = build(tmp_path, impaths, 0, limit=1000).communicate(timeout=60)
    assert "set data.cache_dir to a folder with room, or data.cache none" in error.splitlines()[-1]
    assert files(tmp_path) == []


def test_too_little_room_is_found_before_decoding(impaths, tmp_path, monkeypatch, count_reads, fails):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage(2000, 1000, 1000))
    with fails(OSError, tmp_path / "cache", "0.0 GB free", "data.cache none"):
        opened(impaths, tmp_path)
    assert count_reads == [] and files(tmp_path) == []


@pytest.mark.skipif(not cache.MEMORY_FOLDER.is_dir(), reason="no file system in memory")
def test_too_little_memory(impaths, tmp_path, monkeypatch, fails):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: usage(2000, 1000, 1000))
    with fails(OSError, "data.cache ram", "choose data.cache disk, or data.cache none"):
        opened(impaths, tmp_path, kind="ram")


def test_a_folder_that_cannot_be_written(impaths, tmp_path, fails):
    (tmp_path / "file").write_text("")
    with fails(OSError, tmp_path / "file" / "cache", "set data.cache_dir"):
        opened(impaths, tmp_path, folder=tmp_path / "file" / "cache")


@pytest.mark.skipif(not cache.MEMORY_FOLDER.is_dir(), reason="no file system in memory")
def test_ram_is_removed_when_it_is_done_with(impaths, tmp_path):
    images = opened(impaths, tmp_path, kind="ram")
    again = opened(impaths, tmp_path, kind="ram")
    assert images.path == again.path and images.path.is_relative_to(cache.MEMORY_FOLDER)
    path, expected = images.path, images[impaths[0]]
    del images
    assert not path.exists()
    assert torch.equal(again[impaths[0]], expected)  # whoever has it open goes on


def test_ram_without_a_file_system_in_memory(impaths, tmp_path, monkeypatch, fails):
    monkeypatch.setattr(cache, "MEMORY_FOLDER", tmp_path / "nowhere")
    with fails(ValueError, "data.cache ram", "choose data.cache disk"):
        opened(impaths, tmp_path, kind="ram")


def test_it_travels_to_another_process(impaths, tmp_path):
    images = opened(impaths, tmp_path)
    again = pickle.loads(pickle.dumps(images))
    assert all(torch.equal(again[path], images[path]) for path in impaths)


def resident():
    """Bytes of memory that this process holds, shared pages included."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="Linux only")
def test_a_large_cache_is_not_resident(tmp_path):
    path = tmp_path / "large.uint8"
    np.random.default_rng(0).integers(0, 256, 64 * 2**20, dtype=np.uint8)[: 60 * 288 * 144 * 3 * 8].tofile(path)
    num = path.stat().st_size // (288 * 144 * 3)
    images = cache.DecodedImages(path, [str(i) for i in range(num)], 288, 144)
    before = resident()
    for i in range(num):
        images[str(i)]
    assert path.stat().st_size > 50e6 and resident() - before < 5e6


@pytest.mark.parametrize("kind", ["disk", "ram"])
def test_batches_are_those_without_a_cache(sysu_root, tmp_path, kind):
    def batches(**options):
        manager = CrossModalDataManager(
            str(sysu_root), height=24, width=12, batch_size_train=16, num_instances=2, batches_per_epoch=3, **options
        )
        training = [manager.transforms.augment(data["img"], 8, 0, i) for i, data in enumerate(manager.train_loader)]
        test = [
            data["img"] for loaders in manager.test_loader.values() for loader in loaders.values() for data in loader
        ]
        return training + test

    plain = batches(workers=2)
    for workers in (0, 2):
        cached = batches(workers=workers, cache=kind, cache_dir=str(tmp_path))
        assert len(cached) == len(plain) == 5
        assert all(torch.equal(*pair) for pair in zip(plain, cached, strict=True))


def test_the_cache_lies_with_the_data(write_sysu, tmp_path):
    folder = write_sysu(tmp_path, train=(3, 7, 8, 10))
    CrossModalDataManager(str(folder), height=8, width=4, batch_size_train=16, workers=0, cache="disk")
    (path,) = (folder / ".decoded").iterdir()
    assert path.name.startswith("sysu_mm01-") and path.stat().st_size == len(list(folder.rglob("*.jpg"))) * 8 * 4 * 3


def test_a_killed_worker_is_no_matter_of_the_cache(impaths, tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "read_image", lambda path, rule: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(OSError, match="^a process that loads images died"):
        opened(impaths, tmp_path, workers=1)
    assert files(tmp_path) == []
