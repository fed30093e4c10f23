"""The loader that reads ahead. What becomes of a run whose workers fail is in tests/engine/test_loading.py."""

import subprocess
import sys
import threading

import pytest
from torch.utils.data import Dataset

from torchreid_rgbir.data.loading import Loader


class Numbers(Dataset):
    """0 to 9; knows what was read, and has no 7 when it is damaged."""

    def __init__(self, damaged=False):
        self.read = [threading.Event() for _ in range(10)]
        self.damaged = damaged

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if self.damaged and index == 7:
            raise OSError("no 7")
        self.read[index].set()
        return index


def test_the_next_batch_and_no_more_is_read_while_one_is_used():
    numbers, seen = Numbers(), []
    for batch in Loader(numbers, ahead=True, batch_size=None):
        following = numbers.read[batch + 1 : batch + 3]
        if following:
            assert following[0].wait(30)
        assert not any(event.is_set() for event in following[1:])
        seen.append(batch)
    assert seen == list(range(10))


def test_every_epoch_is_that_of_a_loader_that_does_not_read_ahead():
    plain, ahead = Loader(Numbers(), batch_size=4), Loader(Numbers(), ahead=True, batch_size=4)
    for _ in range(2):
        assert [batch.tolist() for batch in ahead] == [batch.tolist() for batch in plain]
    assert len(ahead) == len(plain) == 3


def test_an_error_comes_where_its_batch_would_have_and_the_thread_ends():
    before, seen = threading.active_count(), []
    with pytest.raises(OSError, match="no 7"):
        for batch in Loader(Numbers(damaged=True), ahead=True, batch_size=None):
            seen.append(batch)
    assert seen == list(range(7)) and threading.active_count() == before


def test_a_loop_that_is_left_early_ends_the_thread():
    before = threading.active_count()
    batches = iter(Loader(Numbers(), ahead=True, batch_size=None))
    assert next(batches) == 0 and threading.active_count() == before + 1
    batches.close()
    assert threading.active_count() == before


HOST = """
import multiprocessing, os, sys, time
from torchreid_rgbir.data.loading import Loader, kill_workers
def wait(): time.sleep(60)
if __name__ == "__main__":
    daemon = multiprocessing.get_context("fork").Process(target=wait, daemon=True)
    daemon.start()
    batches = iter(Loader(list(range(8)), num_workers=2, batch_size=2))
    next(batches)
    workers = list(batches._workers)
    kill_workers()
    for worker in workers:
        worker.join(10)
    print(daemon.is_alive(), [worker.is_alive() for worker in workers], flush=True)
    os._exit(0)
"""


def test_workers_that_are_left_are_killed_and_children_of_the_program_itself_are_not(tmp_path):
    (tmp_path / "host.py").write_text(HOST)
    done = subprocess.run([sys.executable, tmp_path / "host.py"], capture_output=True, text=True, timeout=120)
    assert done.stdout == "True [False, False]\n", done.stderr
