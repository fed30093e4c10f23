"""Fixtures that write tiny data sets."""

import pytest

from tests import data_layouts

write_image = pytest.fixture(lambda: data_layouts.write_image)
write_sysu = pytest.fixture(lambda: data_layouts.write_sysu)
write_regdb = pytest.fixture(lambda: data_layouts.write_regdb)
write_llcm = pytest.fixture(lambda: data_layouts.write_llcm)
write_folder = pytest.fixture(lambda: data_layouts.write_folder)
random_features = pytest.fixture(lambda: data_layouts.random_features)
fails = pytest.fixture(lambda: data_layouts.Fails)
