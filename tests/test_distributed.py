"""Two processes, started by torchrun, compared with one: with gloo on the CPU, and with NCCL if there are two GPUs."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch

from torchreid_rgbir import config, distributed, host
from torchreid_rgbir.engine.monitor import MEASURES
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.runs.train import train

CURVE = """
import json, sys
import torch
from torchreid_rgbir import config, distributed, host
from torchreid_rgbir.engine import step
from torchreid_rgbir.runs.build import build_engine
from torchreid_rgbir.models import MODELS
from tests import tiny

def curve(cfg, dtype):
    host.utils.set_random_seed(cfg.train.seed)
    engine = build_engine(cfg)
    engine.model.to(dtype), engine.criterion.to(dtype), engine.set_model_mode("train")
    # The fused optimizer accepts the guard's result in single precision only.
    engine.optimizer.param_groups[0]["fused"] = dtype == torch.float
    transforms, to_unit = engine.datamanager.transforms, step.to_unit
    normalize = transforms.normalize
    transforms.normalize = lambda images: normalize(images).to(dtype)
    step.to_unit = lambda images: to_unit(images).to(dtype)
    engine.step.ddp_model = distributed.parallel(engine.model)
    losses = []
    for engine.batch_idx, data in enumerate(engine.train_loader):
        found, _ = engine.forward_backward(data)
        losses.append({name: distributed.mean(value).item() for name, value in found.items()})
    step.to_unit = to_unit
    return losses

if __name__ == "__main__":
    MODELS["dual_resnet18"] = tiny.tiny_resnet
    with distributed.processes():
        dtype = getattr(torch, sys.argv[2])
        curves = [curve(config.load(path), dtype) for path in sys.argv[3:]]
        if distributed.rank() == 0:
            json.dump(curves, open(sys.argv[1], "w"))
"""


def torchrun(*words, processes=2, **options):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    return subprocess.run(
        [*command, *map(str, words)], capture_output=True, text=True, timeout=240, env=environment, **options
    )


def written(cfg, path, words):
    """Writes a configuration file for a different process."""
    path.write_text(config.override(cfg.clone(), words).dump())
    return path


GLOBAL = ["train.gather_features", "True", "train.sync_batchnorm", "True"]
AUGMENTED = ["data.transforms", "[pad_crop, random_flip, channel_augment, random_erase]"]


def curves(tmp_path, dtype, *paths):
    """Returns the losses of every step with one process and with two, for each configuration."""
    (tmp_path / "curve.py").write_text(CURVE)
    done = torchrun(tmp_path / "curve.py", tmp_path / "two.json", dtype, *paths)
    assert done.returncode == 0, done.stderr
    alone: dict = {"__name__": "alone"}
    exec(CURVE, alone)
    one = [alone["curve"](config.load(str(path)), getattr(torch, dtype)) for path in paths]
    return zip(one, json.loads((tmp_path / "two.json").read_text()), strict=True)


def assert_same_curve(one, two, num_steps):
    losses = [step["loss"] for step in one]
    assert len(one) == len(two) == num_steps and max(losses) - min(losses) > 0.001
    print("largest difference", max(abs(a["loss"] - b["loss"]) for a, b in zip(one, two, strict=True)))
    for ours, theirs in zip(two, one, strict=True):
        compared = theirs.keys() - set(MEASURES)  # each process measures collapse among its own identities
        assert {name: ours[name] for name in compared} == pytest.approx({n: theirs[n] for n in compared}, abs=1e-4)


STEPS = [*GLOBAL, *AUGMENTED, "train.optim", "sgd", "train.lr", "0.001", "sampler.batches_per_epoch", "20"]
STEPS += ["loss.mso.weight_pef", "1", "data.height", "64", "data.width", "32"]  # VGG needs some pixels


@pytest.mark.slow
def test_two_processes_have_the_loss_curve_of_one(fast_cfg, tmp_path):
    """In double precision: an untrained network makes the rounding of single precision thousands of times larger within 20 steps."""
    accumulated = ["train.accumulate", "3", "loss.mso.weight_id", "0", "sampler.batches_per_epoch", "5"]
    paths = [written(fast_cfg, tmp_path / f"{i}.yaml", [*STEPS, *words]) for i, words in enumerate([[], accumulated])]
    for (one, two), num_steps in zip(curves(tmp_path, "float64", *paths), (20, 5), strict=True):
        assert_same_curve(one, two, num_steps)


@pytest.mark.slow
@pytest.mark.faults  # how far rounding is amplified depends on what was learnt, and so on the processor
def test_two_processes_continue_from_a_trained_network_as_one_in_single_precision(fast_cfg, tmp_path):
    engine = train(config.override(fast_cfg.clone(), ["train.max_epoch", "1", "sampler.batches_per_epoch", "900"]))
    path = written(fast_cfg, tmp_path / "on.yaml", [*STEPS, "model.load_weights", engine.checkpoint_path])
    ((one, two),) = curves(tmp_path, "float", path)
    assert_same_curve(one, two, 20)


TWO_GPUS = pytest.param(
    "cuda",
    marks=[pytest.mark.gpu, pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two GPUs")],
)
RUN = "import sys; from torchreid_rgbir.cli import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", TWO_GPUS], indirect=True)
def test_two_processes_train_test_and_write_as_one(device, tiny_cfg, tmp_path):
    """They write the same files, each once. The saved model has the same score with one process and with two."""
    (tmp_path / "run.py").write_text(RUN)
    path = written(
        tiny_cfg,
        tmp_path / "cfg.yaml",
        ["data.cache", "disk", "data.cache_dir", str(tmp_path / "cache"), "train.max_epoch", "1"],
    )
    done = torchrun(tmp_path / "run.py", "train", "--config-file", path, "--root", tiny_cfg.data.root)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    assert done.stdout.count("epoch 1/1 batch 3/3") == 1
    assert len(list(run.glob("events*"))) == len(list(run.glob("results.json"))) == 1
    weights = ["test.evaluate", "True", "model.load_weights", str(run / "model" / "model.pth.tar-1")]
    alone = train(config.override(tiny_cfg.clone(), [*weights, "data.save_dir", str(tmp_path / "alone")]))
    assert json.loads((run / "results.json").read_text())["settings"] == alone.results["sysu_mm01"]["settings"]


@pytest.mark.slow
def test_two_processes_open_frozen_layers_together(tiny_cfg, tmp_path):
    """After `train.fixbase_epoch`, more parameters are trained, so the processes must exchange more gradients."""
    (tmp_path / "run.py").write_text(
        "import torch\nfrom torchreid_rgbir import distributed\nfrom torchreid_rgbir.engine import CrossModalEngine\n"
        "train = CrossModalEngine.train\ndef and_keep(self, *args, **kwargs):\n    means = train(self, *args, **kwargs)\n"
        "    parameters = {name: p.detach() for name, p in self.model.named_parameters()}\n"
        f"    torch.save(parameters, f'{tmp_path}/{{self.epoch}}-{{distributed.rank()}}.pt')\n    return means\n"
        f"CrossModalEngine.train = and_keep\n{RUN}"
    )
    words = ["train.fixbase_epoch", "1", "train.open_layers", "[classifier]", "train.max_epoch", "2"]
    path = written(tiny_cfg, tmp_path / "cfg.yaml", words)
    done = torchrun(tmp_path / "run.py", "train", "--config-file", path, "--root", tiny_cfg.data.root)
    assert done.returncode == 0, done.stderr
    epochs = [[torch.load(tmp_path / f"{epoch}-{rank}.pt") for rank in (0, 1)] for epoch in (0, 1)]
    for first, second in epochs:
        assert all(torch.equal(first[name], second[name]) for name in first)
    moved = {name for name in epochs[0][0] if not torch.equal(epochs[0][0][name], epochs[1][0][name])}
    assert moved == set(epochs[0][0])
    host.utils.set_random_seed(tiny_cfg.train.seed)
    initial = dict(build_engine(config.load(str(path))).model.named_parameters())
    assert [name for name in initial if not torch.equal(initial[name], epochs[0][0][name])] == ["classifier.weight"]


@pytest.mark.slow
def test_a_process_that_dies_ends_the_others(tiny_cfg, tmp_path):
    (tmp_path / "run.py").write_text(
        "import os, signal\nfrom torchreid_rgbir.engine import CrossModalEngine\nstep = CrossModalEngine.forward_backward\n"
        "def forward_backward(self, data):\n    if os.environ['RANK'] == '1' and self.batch_idx == 1:\n"
        "        print('dying at', __import__('time').time(), flush=True, file=__import__('sys').stderr)\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n    return step(self, data)\n"
        f"CrossModalEngine.forward_backward = forward_backward\n{RUN}"
    )
    path = written(tiny_cfg, tmp_path / "cfg.yaml", [])
    done = torchrun(tmp_path / "run.py", "train", "--config-file", path, "--root", tiny_cfg.data.root)
    died = float(done.stderr.split("dying at ")[1].split()[0])
    assert time.time() - died < 60
    assert done.returncode != 0 and "Signal 9 (SIGKILL)" in done.stderr
    assert not (tmp_path / "run" / "model").exists()


@pytest.mark.parametrize(
    ("words", "processes", "message"),
    [
        (
            ["train.batch_size", "24", "sampler.num_instances", "2"],
            4,
            "cannot be divided evenly among 4 processes: make it a multiple of 16",
        ),
        ([], 4, "gives each process one identity"),
    ],
)
def test_batches_that_do_not_divide(tiny_cfg, monkeypatch, words, processes, message):
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    with pytest.raises(ValueError, match=message):
        build_engine(config.override(tiny_cfg, words))


def test_shares_are_everything_in_order(monkeypatch):
    for size in (1, 2, 3, 5):
        for num in range(12):
            monkeypatch.setattr(distributed, "world_size", lambda size=size: size)
            shares = []
            for rank in range(size):
                monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
                shares.append(distributed.rank_slice(num))
            assert [i for share in shares for i in share] == list(range(num))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_one_process_is_the_same_without_others():
    rows = torch.rand(4, 2, requires_grad=True)
    assert distributed.gather_batch(rows, 1) is rows and torch.equal(
        distributed.gather_rows([rows, rows]), torch.cat([rows, rows])
    )
    assert distributed.broadcast_from_rank0(lambda: 3) == 3
    model = torch.nn.Linear(2, 2)
    assert distributed.parallel(model) is model
