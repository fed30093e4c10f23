"""Which checkpoints of a run are kept, and which is gone on from."""

import logging

import pytest

from torchreid_rgbir.files import checkpoint
from torchreid_rgbir.files.checkpoint_folder import CheckpointFolder, newest_good, numbered


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "SHA256SUMS")


def test_the_newest_and_the_best_are_kept_and_later_ones_of_another_run_too(tmp_path):
    checkpoint.save({"epoch": 9}, tmp_path / "model.pth.tar-9")
    (tmp_path / "model.pth.tar-notes").write_text("mine")
    folder = CheckpointFolder(tmp_path, keep=2)
    for epoch, batch in ((1, 0), (1, 7), (2, 0), (10, 0)):
        folder.save({"epoch": epoch, "batch": batch}, is_best=epoch == 1)
        if epoch == 2:
            kept = ["model-best.pth.tar", *(f"model.pth.tar-{name}" for name in ("1-7", "2", "9", "notes"))]
            assert names(tmp_path) == kept
    assert [path.name for path in numbered(tmp_path)] == ["model.pth.tar-9", "model.pth.tar-10"]  # 10 comes after 9
    assert checkpoint.load(tmp_path / "model-best.pth.tar") == {"epoch": 1, "batch": 7}
    kept = {"model-best.pth.tar", "model.pth.tar-9", "model.pth.tar-10"}
    assert set(checkpoint.read_checksums(tmp_path)) == kept  # `sha256sum --check` asks for no file that is gone


def test_damaged_ones_are_passed_over_and_named(tmp_path, caplog):
    assert newest_good(tmp_path) is None
    folder = CheckpointFolder(tmp_path, keep=3)
    paths = [folder.save({"epoch": epoch, "batch": 0}) for epoch in (1, 2)]
    assert newest_good(tmp_path) == (paths[1], {"epoch": 2, "batch": 0})
    paths[1].write_bytes(b"junk")
    with caplog.at_level(logging.WARNING):
        assert newest_good(tmp_path) == (paths[0], {"epoch": 1, "batch": 0})
    assert "model.pth.tar-2 is damaged" in caplog.text
    paths[0].write_bytes(b"junk")
    with pytest.raises(
        ValueError, match="none of the 2 checkpoints in .* can be read: start the run in a different data.save_dir"
    ):
        newest_good(tmp_path)
