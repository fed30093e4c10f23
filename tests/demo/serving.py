"""Runs the command for the test of the page:  python serving.py ADDRESSES FLAG ...

It notes every address that the process connects to or looks up in the file ADDRESSES, and deletes uploads after 20 seconds.
"""

import signal
import sys

# As in a terminal: a program that a script starts in the background ignores SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)
ADDRESSES, *FLAGS = sys.argv[1:]


def note(event: str, values: tuple) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        address = values[1] if event == "socket.connect" else values[0]
        with open(ADDRESSES, "a") as file:
            print(address[0] if isinstance(address, tuple) else address, file=file)


sys.addaudithook(note)

from torchreid_rgbir.cli import main  # noqa: E402
from torchreid_rgbir.demo import page  # noqa: E402

assert page.DELETE == (5, 60)
page.DELETE = (1, 20)  # longer than any image waits for its turn on a busy machine
sys.exit(main(["demo", *FLAGS]))
