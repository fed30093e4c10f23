"""Times in files and flags: ISO 8601, always with a time zone. This module imports nothing heavy, because flags use it."""

from datetime import datetime


def parse_time(text: str) -> datetime:
    """Reads an ISO 8601 time with its zone.

    Raises:
        ValueError: the text is not a time, or has no time zone.
    """
    try:
        time = datetime.fromisoformat(
            text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text
        )  # Python 3.10 rejects Z
    except ValueError:
        raise ValueError(f"{text} is not a time: write it as 2026-05-31T08:00+02:00") from None
    return checked(time)


def checked(time: datetime) -> datetime:
    """Returns the time.

    Raises:
        ValueError: it has no time zone.
    """
    if time.tzinfo is None:
        raise ValueError(f"time {time.isoformat()} has no time zone: write {time.isoformat()}+00:00 for UTC")
    return time
