"""The tests of the page share the model and the photos of the retrieval tests."""

from tests.retrieval.conftest import extractor, photos, weights  # noqa: F401
