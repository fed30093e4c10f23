"""SIGTERM and SIGINT (Ctrl-C) as a request: what is being done is finished and saved, then the process ends with the usual status."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

logger = logging.getLogger(__name__)


class Stopped(BaseException):
    """A signal asked for the end, and now is a good moment. No `except Exception` on the way may take it for its own."""


class Stop:
    """A context in which the first SIGTERM or SIGINT is remembered until `check` is called; a second SIGINT interrupts at once.

    Outside of the main thread, which alone may handle signals, it does nothing.
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
            self.end()  # it came after the last look

    def __str__(self) -> str:
        return self.signal.name if self.signal else "no signal"

    def check(self) -> None:
        """Raises `Stopped` if a signal has come."""
        if self.signal is not None:
            raise Stopped

    def now(self) -> None:
        """Raises `Stopped` for a signal that came here or to another process of the run."""
        self.signal = self.signal or signal.SIGTERM
        raise Stopped

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within, a signal raises `Stopped` where it strikes: for work that may be cut off anywhere."""
        self.check()
        self._waiting = False
        try:
            yield
        finally:
            self._waiting = True
        self.check()  # it may have struck where Python lets no exception out

    def end(self) -> None:
        """Ends the process as its signal would have.

        Raises:
            KeyboardInterrupt: for SIGINT, which the shell sees as status 130.
            SystemExit: for SIGTERM, with status 143.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            return
        self.signal = signal.Signals(number)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever is in a hurry asks again
        if not self._waiting:
            raise Stopped
