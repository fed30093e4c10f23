"""Graceful handling of SIGTERM and SIGINT (Ctrl-C): the present work is finished and saved, then the process ends."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from torchreid_rgbir import distributed


class Stopped(BaseException):
    """A signal asked the run to stop. It is not an `Exception`, so that no `except Exception` swallows it."""


class Stop:
    """A context that remembers the first SIGTERM or SIGINT until `check` is called. A second SIGINT interrupts immediately.

    Outside of the main thread it does nothing, since only the main thread may handle signals.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self._waiting = True
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self.signal is not None and exception[0] is None:
            self.end()  # the signal came after the last check

    def __str__(self) -> str:
        return self.signal.name if self.signal else "no signal"

    def check(self) -> None:
        """Raises `Stopped` if a signal has come."""
        if self.signal is not None:
            raise Stopped

    def check_all_ranks(self, exchange: bool) -> None:
        """Raises `Stopped` in every process of the run if a signal has come to any of them.

        Args:
            exchange: ask the other processes now. They wait for each other, so all must ask at the same batch.
        """
        if distributed.world_size() == 1:
            self.check()
        elif exchange and distributed.any_rank(self.signal is not None):
            self.signal = self.signal or signal.SIGTERM
            raise Stopped

    @contextmanager
    def immediately(self) -> Iterator[None]:
        """Inside, a signal raises `Stopped` at once: for work that may be interrupted anywhere."""
        self.check()
        self._waiting = False
        try:
            yield
        finally:
            self._waiting = True
        self.check()  # the signal may have come where Python swallows exceptions

    def end(self) -> None:
        """Ends the process as its signal would have.

        Raises:
            KeyboardInterrupt: after SIGINT. The shell sees status 130.
            SystemExit: after SIGTERM, with status 143.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            return
        self.signal = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C interrupts
        if not self._waiting:
            raise Stopped
