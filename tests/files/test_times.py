from datetime import datetime, timedelta, timezone

import pytest

from torchreid_rgbir.files.times import parse_time


@pytest.mark.parametrize("text", ["2026-05-31T08:00Z", "2026-05-31T08:00z", "2026-05-31T08:00+00:00"])
def test_z_is_utc(text):
    assert parse_time(text) == datetime(2026, 5, 31, 8, tzinfo=timezone.utc)


def test_the_zone_is_kept():
    assert parse_time("2026-05-31T08:00+02:00").utcoffset() == timedelta(hours=2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("yesterday", "yesterday is not a time: write it as 2026-05-31T08:00[+]02:00"),
        ("2026-05-31T08:00", "has no time zone: write 2026-05-31T08:00:00[+]00:00 for UTC"),
    ],
)
def test_what_is_no_time_is_refused(text, reason):
    with pytest.raises(ValueError, match=reason):
        parse_time(text)
