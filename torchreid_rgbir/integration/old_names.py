"""Old import paths: every public module that moved and every public name that was renamed can be imported from them."""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PACKAGE = "torchreid_rgbir"

# New folder: the old paths of its modules, and the new name after an equals sign if it differs.
_MODULES = {
    "commands": "memory",
    "config": "checks defaults=schema",
    "data": "data.unreadable=broken_images",
    "doctor": "data.doctor=diagnose data.findings data.published=official_counts",
    "engine": "engine.testing=evaluation engine.update=step",
    "files": "atomic data.archive download engine.checkpoint engine.checkpoint_folder",
    "integration": "registry stand_in=torchreid_patch",
    "losses": "losses.own=registry",
    "models": "losses.precision",
    "protocols": "metrics.galleries metrics.llcm metrics.matfile metrics.permutations metrics.protocol metrics.regdb "
    "metrics.standard metrics.sysu_mm01",
    "retrieval": "retrieval.fill=build_gallery retrieval.listing=image_table retrieval.rows=reference_table",
    "runs": "ablation build compare kept=resume_or_skip metrics.published metrics.reproduction provenance quickstart "
    "run_folder=folder splits train visual.run=visualize",
    "synthetic": "data.synthetic=write data.synthetic_benchmark=benchmark data.synthetic_disturbances=disturbances "
    "data.synthetic_figure=figure data.synthetic_layouts=layouts data.synthetic_people=people "
    "data.synthetic_pictures=render data.synthetic_scenes=scenes",
    "visual": "visual.answers=ranked",
}
# Old module and new module: the names that moved or changed, written in the same way.
_NAMES = {
    ("build", "engine.metadata"): "about=metadata",
    ("build", "runs.options"): "run_options step_options testing=eval_options",
    ("config", "config.load"): "NOT_YAML PACKAGE",
    ("data", "synthetic.benchmark"): "RGBIRSynthetic",
    ("data.cache", "data.cache"): "ABANDONED=MAX_IDLE MEMORY=MEMORY_FOLDER",
    ("data.cross_modal", "data.images"): "FORMATS IMAGE_SUFFIXES MAX_PIXELS MEND=ADVICE is_image_name list_images "
    "read_image to_8_bits",
    ("data.image_list", "data.image_list"): "relabelled=relabeled",
    ("data.transforms", "data.augmentations"): "Augmentation BOXES=NUM_ERASE_TRIES Draws=RandomNumbers ERASED_AREA "
    "ERASED_ASPECT ERASE_DRAWS=NUM_ERASE_NUMBERS NUM_ERASE_NUMBERS NUM_ERASE_TRIES PADDING channel_augment channel_erase "
    "pad_crop random_crop random_erase random_flip",
    ("engine", "engine.evaluation"): "Testing=EvalOptions",
    ("engine.baseline", "engine.baseline"): "LOSSES=TORCHREID_ENGINES",
    ("engine.checkpoint", "files.checkpoint"): "NUM_NAMED=MAX_LISTED",
    ("engine.resumable", "engine.resumable"): "NEEDED=REQUIRED_KEYS OF_THE_OPTIMIZER=OPTIMIZER_KEYS",
    ("engine.testing", "engine.evaluation"): "Testing=EvalOptions",
    ("engine.update", "engine.device"): "DTYPES compile_works precision=autocast_dtype",
    ("engine.update", "engine.ema"): "Averaged=EMA",
    ("engine.update", "engine.step"): "Update=TrainingStep",
    ("losses.mso", "losses.batch_hard_triplet"): "batch_hard_triplet",
    ("losses.mso", "losses.identity"): "SMOOTHING identity",
    ("losses.own", "losses.registry"): "OwnLoss=Loss",
    ("losses.vgg", "losses.vgg"): "SMALLEST=MIN_SIZE as_picture=as_vgg_input",
    ("metrics.ranking", "metrics.ranking"): "Skip=Ignored",
    ("models.dual_resnet", "models.two_stream"): "LOSSES=LOSS_NAMES LOSS_NAMES Stream",
    ("retrieval", "retrieval.image_table"): "read_listing=read_image_table",
    ("retrieval", "retrieval.reference_table"): "Match=ReferenceMatch Rows=ReferenceTable Where=Filter",
    ("retrieval.gallery", "retrieval.gallery"): "About=GalleryInfo",
    ("retrieval.listing", "retrieval.image_table"): "read_listing=read_image_table",
    ("retrieval.rows", "retrieval.reference_table"): "Match=ReferenceMatch Rows=ReferenceTable Where=Filter",
    ("run_folder", "runs.folder"): "COLOUR=ANSI_COLORS OF_THIS_START=IGNORED_KEYS",
    ("stand_in", "integration.patched_classes"): "StandInDataManager=PatchedDataManager StandInEngine=PatchedEngine",
    ("stand_in", "models.loading"): "bare=bare_model",
    ("visual", "protocols.ranked_lists"): "Match=RankedImage ranked_lists",
    ("visual.ranked", "protocols.ranked_lists"): "Match=RankedImage ranked_lists",
}


def _pairs(names: str) -> list[tuple[str, str]]:
    """Old and new name of each word: the last part of the path, or what is after the equals sign."""
    words = (name.partition("=") for name in names.split())
    return [(old, new or old.rpartition(".")[2]) for old, _, new in words]


# Old path: new path, both without the package's name.
MODULES = {old: f"{folder}.{new}" for folder, names in _MODULES.items() for old, new in _pairs(names)}
NAMES = {f"{before}.{old}": f"{after}.{new}" for (before, after), names in _NAMES.items() for old, new in _pairs(names)}
# The modules that still exist and had names or submodules which they no longer have.
_CHANGED = {
    f"{PACKAGE}.{owner}".rstrip(".")
    for owner in {path.rpartition(".")[0] for path in (*MODULES, *NAMES)} - MODULES.keys()
}


def install() -> None:
    """Makes the old paths importable; a second call changes nothing."""
    if not any(isinstance(finder, OldNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, OldNames())
        for module in _CHANGED & sys.modules.keys():
            _add_lookup(sys.modules[module])


class OldNames(MetaPathFinder, Loader):
    """Finds a moved module as an alias of the new one, and teaches the other modules the names that they had."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname.removeprefix(f"{PACKAGE}.") in MODULES:
            return ModuleSpec(fullname, self)
        spec = PathFinder.find_spec(fullname, path) if fullname in _CHANGED else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_add(module: ModuleType) -> None:
                execute(module)
                _add_lookup(module)

            spec.loader.exec_module = execute_and_add  # type: ignore[method-assign]
        return spec

    def exec_module(self, module: ModuleType) -> None:
        _add_lookup(module)


def _add_lookup(module: ModuleType) -> None:
    """Makes a module find the names that it had."""
    prefix = module.__name__.removeprefix(PACKAGE).lstrip(".")
    lazy = module.__dict__.get("__getattr__")  # a face that imports its names on first use

    def find(name: str) -> Any:
        old = f"{prefix}.{name}".lstrip(".")
        if old in NAMES:
            owner, _, new = NAMES[old].rpartition(".")
            return getattr(import_module(f"{PACKAGE}.{owner}"), new)
        if old in MODULES:
            return import_module(f"{PACKAGE}.{MODULES[old]}")
        if prefix in MODULES and not name.startswith("__"):
            return getattr(import_module(f"{PACKAGE}.{MODULES[prefix]}"), name)
        if lazy is not None:
            return lazy(name)
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    module.__getattr__ = find  # type: ignore[method-assign]
