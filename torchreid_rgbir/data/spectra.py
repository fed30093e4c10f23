"""Data sets with three spectra: which infrared spectrum is the second modality (`data.ir`)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

SPECTRA = ("nir", "tir")  # near infrared, thermal infrared
_chosen: ContextVar[str] = ContextVar("ir", default=SPECTRA[0])


@contextmanager
def infrared(ir: str) -> Iterator[None]:
    """Makes data sets that are created in this block use the spectrum `ir`. torchreid cannot pass it to them."""
    before = _chosen.set(ir)
    try:
        yield
    finally:
        _chosen.reset(before)


def check(ir: str, spectra: Mapping[str, tuple[str, ...]]) -> None:
    """Checks `data.ir` for the data sets of a run. The default is allowed for all of them.

    Args:
        ir: `data.ir`.
        spectra: the infrared spectra of each data set, by its name; empty if they are not known.

    Raises:
        ValueError: a data set has no images of this spectrum, or none of them has two spectra.
    """
    if ir == SPECTRA[0]:
        return
    for dataset, own in spectra.items():
        choose(ir, own or SPECTRA, dataset)
    if all(len(own) < 2 for own in spectra.values()):
        raise ValueError(f"data.ir is {ir}, but {', '.join(spectra)} has one kind of infrared images: remove data.ir")


def choose(ir: str | None, spectra: tuple[str, ...], dataset: str) -> str:
    """The infrared spectrum of a data set.

    Args:
        ir: "nir" or "tir". None selects the spectrum of the block `infrared`, or "nir" outside of one.
        spectra: those that the data set has.
        dataset: its name, for the error.

    Raises:
        ValueError: the data set has no images of this spectrum.
    """
    chosen = ir or _chosen.get()
    if chosen not in spectra:
        raise ValueError(f"data.ir is {chosen}, but {dataset} has no {chosen.upper()} images: set data.ir {spectra[0]}")
    return chosen
