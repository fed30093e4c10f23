"""With MCJA's sampler, the length of an epoch and the number of RGB images in a batch vary."""

import re

import pytest

from tests import tiny
from tests.whole_runs import assert_same_run, send_at
from torchreid_rgbir import config
from torchreid_rgbir.engine import step
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.train import train

WORDS = [
    *("sampler.name", "mcja", "sampler.num_instances", "4", "sampler.batches_per_epoch", "0", "train.max_epoch", "3"),
    *("loss.mso.weight_cmcc", "0", "loss.mso.weight_wrt", "0", "loss.mso.weight_cmr", "1", "train.print_freq", "1"),
]


@pytest.fixture
def cfg(sysu_root, tmp_path, fast_cfg):
    return tiny.configuration(sysu_root, tmp_path / "whole", *WORDS)


def in_folder(cfg, folder, *words):
    return config.override(cfg.clone(), ["data.save_dir", str(folder), *words])


def test_epochs_have_the_samplers_lengths_and_a_stopped_run_ends_as_the_whole_one(cfg, tmp_path, monkeypatch):
    sampler = build_engine(cfg).datamanager.sampler
    lengths = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        lengths.append(len(sampler))
    assert len(set(lengths)) > 1
    train(cfg)
    log = (tmp_path / "whole" / "train.log").read_text()
    shown = re.findall(r"epoch (\d)/3 batch (\d+)/(\d+) ", log)
    assert [tuple(map(int, numbers)) for numbers in shown] == [
        (epoch + 1, done + 1, length) for epoch, length in enumerate(lengths) for done in range(length)
    ]
    stopped = in_folder(cfg, tmp_path / "stopped", "model.resume", "auto")
    with monkeypatch.context() as patch:
        send_at(patch, "forward_backward", lengths[0] + 2)  # in the second epoch
        with pytest.raises(SystemExit):
            train(stopped)
    train(stopped)
    assert_same_run(tmp_path / "stopped", tmp_path / "whole", epochs=3)


def test_a_batch_knows_its_rgb_images_and_is_not_balanced(cfg):
    engine = build_engine(cfg)
    manager = engine.datamanager
    manager.sampler.set_epoch(0)
    numbers = set()
    for index, data in enumerate(manager.train_loader):
        batch, _ = step.prepare(manager, data, engine.device, 0, index)
        numbers.add(batch.num_rgb)
        is_rgb = [bool(re.search(r"cam[1245]", path)) for path in data["impath"]]
        assert is_rgb == [True] * batch.num_rgb + [False] * (len(is_rgb) - batch.num_rgb)
        with pytest.raises(ValueError, match="a loss compares the RGB half"):
            batch.require_aligned_halves("a loss")
    assert len(numbers) > 1
