"""Fixtures that write tiny data sets."""

import pytest

from tests import data_layouts

write_image = pytest.fixture(lambda: data_layouts.write_image)
fails = pytest.fixture(lambda: data_layouts.Fails)
