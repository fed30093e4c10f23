"""Published numbers from papers and their authors' repositories, with the source and, if known, how they were computed."""

from typing import NamedTuple


class Row(NamedTuple):
    """One published number.

    Attributes:
        method: the name of the method.
        dataset: the name of the data set, such as "sysu_mm01".
        setting: the name that `setting_of` returns.
        mean: "rank1", "mAP" and, if published, "mINP"; in %.
        source: where it is published.
        sampling: how SYSU-MM01's galleries were sampled, "official" or "agw"; "" if the authors' code was not checked.
        flip: whether the authors' test adds the mirrored image's feature; None if the authors' code was not checked.
        rerank: whether galleries were re-ranked.
    """

    method: str
    dataset: str
    setting: str
    mean: dict[str, float]
    source: str
    sampling: str = ""
    flip: bool | None = None
    rerank: bool = False

    @property
    def recipe(self) -> str:
        """Our configuration with the row's method and data set; empty if there is none."""
        return RECIPES.get((self.method, self.dataset), "")

    @property
    def step_equal(self) -> bool | None:
        """Whether our recipe's steps are those of the authors' code; None without a recipe. Re-ranking is not a step."""
        return self.recipe in STEP_EQUAL if self.recipe else None


def _mean(rank1: float, mAP: float, mINP: float | None = None) -> dict[str, float]:
    return {"rank1": rank1, "mAP": mAP} | ({} if mINP is None else {"mINP": mINP})


ALL_SEARCH, V2T, N2V, V2N = "all-search, single-shot", "visible->thermal", "nir->vis", "vis->nir"

AGW = "Ye et al., TPAMI 2021, and the README of mangye16/Cross-Modal-Re-ID-baseline"
CAJ = "Ye et al., ICCV 2021, and the README of ICCV21_CAJ in mangye16/Cross-Modal-Re-ID-baseline"
MMN = "Zhang et al., ACM MM 2021, and the README of ZYK100/MMN"
DEEN = "Zhang and Wang, CVPR 2023"
# Its table replaces the one in the CVPR paper, at the authors' request.
LLCM = "README of ZYK100/LLCM, LLCM's authors"
# One model for all spectra, trained on RGBNT201 and RGBNT100 together. Its rows for NIR against TIR are not listed, because they have no RGB images.
UPCL = "Zhou et al., NeurIPS 2025, Table 1, trained on RGBNT201 and RGBNT100"

# Its figures without re-ranking on SYSU-MM01 were 66.01 / 62.01 in 2024. At this commit they are 68.19 / 63.68 / 48.65.
CEIL = "README of maybeextra/CEIL at 0065d7e, trained without labels"
CEIL_2024 = "README of maybeextra/CEIL in 2024 (at 0065d7e: 68.19 / 63.68 / 48.65), trained without labels"

ROWS = (
    Row("AGW", "sysu_mm01", ALL_SEARCH, _mean(47.50, 47.65, 35.30), AGW, sampling="agw", flip=False),
    Row("baseline", "sysu_mm01", ALL_SEARCH, _mean(57.51, 54.60), "LuckyDC/RGB-IR-ReID-Baseline", sampling="official"),
    Row("CEIL", "sysu_mm01", ALL_SEARCH, _mean(66.01, 62.01), CEIL_2024),
    Row("PMT", "sysu_mm01", ALL_SEARCH, _mean(67.53, 64.98, 51.86), "README of hulu88/PMT"),
    Row("CAJ", "sysu_mm01", ALL_SEARCH, _mean(69.88, 66.89, 53.61), CAJ, sampling="agw", flip=True),
    Row("MMN", "sysu_mm01", ALL_SEARCH, _mean(70.6, 66.9), MMN),
    Row("DEEN", "sysu_mm01", ALL_SEARCH, _mean(74.7, 71.8), DEEN, sampling="agw", flip=True),
    Row("SAAI", "sysu_mm01", ALL_SEARCH, _mean(75.03, 71.69), "Fang et al., ICCV 2023, without affinity inference"),
    Row("IFALNet", "sysu_mm01", ALL_SEARCH, _mean(77.2, 73.1), "README of ZHY-tech11/IFALNet"),
    Row("MSCMNet", "sysu_mm01", ALL_SEARCH, _mean(78.53, 74.20, 61.29), "README of Hua-XC/MSCMNet"),
    Row("CEIL", "sysu_mm01", ALL_SEARCH, _mean(86.75, 83.97, 75.24), CEIL, rerank=True),
    Row("MCJA", "sysu_mm01", ALL_SEARCH, _mean(89.51, 87.58), "Liang et al., TCSVT 2024", rerank=True),
    Row("AGW", "regdb", V2T, _mean(70.05, 66.37, 50.19), AGW, flip=False),
    Row("CAJ", "regdb", V2T, _mean(85.03, 79.14, 65.33), CAJ, flip=True),
    Row("CEIL", "regdb", V2T, _mean(91.97, 89.13, 82.75), CEIL),
    Row("DEEN", "regdb", V2T, _mean(91.1, 85.1), DEEN, flip=True),
    Row("MMN", "regdb", V2T, _mean(91.6, 84.1), MMN),
    Row("AGW", "llcm", N2V, _mean(49.13, 55.80), LLCM),
    Row("CAJ", "llcm", N2V, _mean(49.86, 56.40), LLCM),
    Row("MMN", "llcm", N2V, _mean(50.14, 56.66), LLCM),
    Row("DEEN", "llcm", N2V, _mean(55.52, 62.07), LLCM, flip=True),
    Row("AGW", "llcm", V2N, _mean(63.72, 47.21), LLCM),
    Row("CAJ", "llcm", V2N, _mean(63.73, 47.71), LLCM),
    Row("MMN", "llcm", V2N, _mean(63.97, 48.47), LLCM),
    Row("DEEN", "llcm", V2N, _mean(69.21, 55.52), LLCM, flip=True),
    Row("UPCL", "rgbnt201", "rgb->nir", _mean(23.21, 22.33), UPCL),
    Row("UPCL", "rgbnt201", "rgb->tir", _mean(14.59, 16.77), UPCL),
    Row("UPCL", "rgbnt100", "rgb->nir", _mean(64.08, 48.41), UPCL),
    Row("UPCL", "rgbnt100", "rgb->tir", _mean(19.42, 16.50), UPCL),
    Row("UPCL", "msvr310", "rgb->nir", _mean(20.30, 13.89), UPCL),
)

# Method and data set of a row -> our configuration.
RECIPES = {
    ("AGW", "sysu_mm01"): "agw_sysu",
    ("AGW", "regdb"): "agw_regdb",
    ("AGW", "llcm"): "agw_llcm",
    ("baseline", "sysu_mm01"): "luckydc_sysu",
    ("CAJ", "sysu_mm01"): "caj_sysu",
    ("CAJ", "regdb"): "caj_regdb",
    ("CAJ", "llcm"): "caj_llcm",
    ("MCJA", "sysu_mm01"): "mcja_sysu",
}

# Recipes that take the steps of the authors' code, given the same weights and batches. tests/peers proves it.
STEP_EQUAL = {"agw_regdb", "agw_sysu", "caj_regdb", "caj_sysu", "luckydc_sysu", "mcja_regdb", "mcja_sysu"}

# Setting -> published numbers of queries and gallery images (docs/protocols.md). None are published for LLCM.
COUNTS = {
    ("sysu_mm01", "all-search, single-shot"): (3803, 301),
    ("sysu_mm01", "all-search, multi-shot"): (3803, 3010),
    ("sysu_mm01", "indoor-search, single-shot"): (3803, 112),
    ("sysu_mm01", "indoor-search, multi-shot"): (3803, 1120),
    ("regdb", "visible->thermal"): (2060, 2060),
    ("regdb", "thermal->visible"): (2060, 2060),
    ("rgbnt201", "rgb->nir"): (836, 836),
    ("rgbnt201", "rgb->tir"): (836, 836),
    ("rgbnt100", "rgb->nir"): (1715, 8575),
    ("rgbnt100", "rgb->tir"): (1715, 8575),
    ("msvr310", "rgb->nir"): (591, 1055),
}


def setting_of(setting: dict) -> str:
    """The name of a setting of results.json in a published table: search and shots, or the direction."""
    if "search" in setting:
        return f"{setting['search']}-search, {'single' if setting['shots'] == 1 else 'multi'}-shot"
    return setting.get("direction", "")
