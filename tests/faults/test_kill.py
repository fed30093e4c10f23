"""A run that is killed at random moments and resumed ends exactly like one that was not. SIGTERM ends a run in time."""

import random
import shutil
import signal
import time
from collections import Counter
from multiprocessing import Pipe

import pytest

from tests import tiny
from tests.faults.processes import PHASES, finish, start
from tests.whole_runs import assert_same_run

SEED = 7


def command(root, folder):
    words = [*tiny.SETTINGS, "data.save_dir", folder, "model.resume", "auto"]
    return ["train", "--config-file", "quickstart", "--root", root, *words]


def watch(root, folder, phase="", number=0, delay=0.0, signum=signal.SIGKILL):
    """Runs a training, or kills it `delay` seconds after the start of the `number`-th `phase`.

    Returns the exit status and the phases with their times.
    """
    ours, theirs = Pipe()
    process = start(command(root, folder), folder.with_suffix(".txt"), theirs)
    theirs.close()
    phases = []
    while True:
        try:
            phases.append(ours.recv())
        except EOFError:  # it has ended
            return finish(process), phases
        if phases[-1][0] == phase:
            number -= 1
            if number == 0:
                time.sleep(delay)
                phases.append(("signal", time.monotonic()))
                process.kill() if signum == signal.SIGKILL else process.terminate()


@pytest.fixture(scope="module")
def whole(sysu_root, tmp_path_factory):
    """The uninterrupted run: its folder, and how often each phase came and how long it took."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    status, phases = watch(sysu_root, folder)
    assert status == 0, folder.with_suffix(".txt").read_text()
    lengths = {phase: [] for phase in PHASES.values()}
    for (phase, begin), (_, end) in zip(phases, phases[1:], strict=False):
        if phase in lengths:
            lengths[phase].append(end - begin)
    return folder, lengths


def kill_at_random_moments(root, whole, tmp_path, num):
    folder, lengths = whole
    generator, where = random.Random(SEED), Counter()
    for trial in range(num):
        phase = list(lengths)[trial % len(lengths)]
        number = generator.randrange(len(lengths[phase])) + 1
        delay = generator.random() * 1.2 * lengths[phase][number - 1]
        run = tmp_path / f"run{trial}"
        status, phases = watch(root, run, phase, number, delay)
        while status == 0 and delay > 1e-3:  # this time the phase was shorter, and all was over
            shutil.rmtree(run)
            delay /= 2
            status, phases = watch(root, run, phase, number, delay)
        assert status == -signal.SIGKILL
        last = [name for name, _ in phases if name != "signal"][-1]
        where[last if last in lengths else "between these"] += 1
        assert finish(start(command(root, run), run.with_suffix(".txt"))) == 0, run.with_suffix(".txt").read_text()
        assert_same_run(folder, run)
        assert not [path for path in run.rglob(".*") if path.name != ".lock"]  # nothing half-written is left
    print(f"\nkilled {num} times, each resumed run identical: {dict(where)}")


def test_killed_at_random_moments(sysu_root, whole, tmp_path):
    kill_at_random_moments(sysu_root, whole, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.faults
def test_killed_at_many_random_moments(sysu_root, whole, tmp_path):
    kill_at_random_moments(sysu_root, whole, tmp_path, 21)


def stop_at_random_moments(root, whole, tmp_path, num):
    folder, lengths = whole
    generator, ratios = random.Random(SEED), []
    for trial in range(num):
        phase = list(lengths)[trial % len(lengths)]
        number = generator.randrange(len(lengths[phase])) + 1
        run = tmp_path / f"run{trial}"
        delay = generator.random() * lengths[phase][number - 1]
        status, phases = watch(root, run, phase, number, delay, signal.SIGTERM)
        if status == 0:  # it was over
            continue
        assert status == 128 + signal.SIGTERM, run.with_suffix(".txt").read_text()
        sent = next(time for name, time in phases if name == "signal")
        after = [name for name, at in phases if at > sent and name in lengths]
        assert after.count("in the step") <= 1 and after.count("while saving") <= 1, after
        ratios.append((phases[-1][1] - sent) / (max(lengths["in the step"]) + max(lengths["while saving"])))
        assert finish(start(command(root, run), run.with_suffix(".txt"))) == 0
        assert_same_run(folder, run)
    print(
        f"\nstopped {len(ratios)} times, at most {max(ratios):.1f} x (a step + a save) later, each resumed run identical"
    )


def test_stopped_at_random_moments(sysu_root, whole, tmp_path):
    stop_at_random_moments(sysu_root, whole, tmp_path, 3)


@pytest.mark.slow
@pytest.mark.faults
def test_stopped_at_many_random_moments(sysu_root, whole, tmp_path):
    stop_at_random_moments(sysu_root, whole, tmp_path, 21)
