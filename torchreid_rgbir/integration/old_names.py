"""Old import paths.

Every public module that moved and every public name that was renamed can still be imported from its old path.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

PACKAGE = "torchreid_rgbir"

# Old module: new module, both without the package's name.
MODULES = {
    "ablation": "runs.ablation",
    "atomic": "files.atomic",
    "build": "runs.build",
    "checks": "config.checks",
    "compare": "runs.compare",
    "data.archive": "files.archive",
    "data.doctor": "doctor.diagnose",
    "data.findings": "doctor.findings",
    "data.published": "doctor.official_counts",
    "data.synthetic": "synthetic.write",
    "data.synthetic_benchmark": "synthetic.benchmark",
    "data.synthetic_disturbances": "synthetic.disturbances",
    "data.synthetic_figure": "synthetic.figure",
    "data.synthetic_layouts": "synthetic.layouts",
    "data.synthetic_people": "synthetic.people",
    "data.synthetic_pictures": "synthetic.render",
    "data.synthetic_scenes": "synthetic.scenes",
    "data.unreadable": "data.broken_images",
    "defaults": "config.schema",
    "download": "files.download",
    "engine.checkpoint": "files.checkpoint",
    "engine.checkpoint_folder": "files.checkpoint_folder",
    "engine.testing": "engine.evaluation",
    "engine.update": "engine.step",
    "kept": "runs.resume_or_skip",
    "losses.own": "losses.registry",
    "losses.precision": "models.precision",
    "memory": "commands.memory",
    "metrics.galleries": "protocols.galleries",
    "metrics.llcm": "protocols.llcm",
    "metrics.matfile": "protocols.matfile",
    "metrics.permutations": "protocols.permutations",
    "metrics.protocol": "protocols.protocol",
    "metrics.published": "runs.published",
    "metrics.regdb": "protocols.regdb",
    "metrics.reproduction": "runs.reproduction",
    "metrics.standard": "protocols.standard",
    "metrics.sysu_mm01": "protocols.sysu_mm01",
    "provenance": "runs.provenance",
    "quickstart": "runs.quickstart",
    "registry": "integration.registry",
    "retrieval.fill": "retrieval.build_gallery",
    "retrieval.listing": "retrieval.image_table",
    "retrieval.rows": "retrieval.reference_table",
    "run_folder": "runs.folder",
    "splits": "runs.splits",
    "stand_in": "integration.torchreid_patch",
    "train": "runs.train",
    "visual.answers": "visual.identify_grid",
    "visual.run": "runs.visualize",
}

# Old name, with its old module: new name.
NAMES = {
    "build.about": "runs.options.metadata",
    "build.run_options": "runs.options.run_options",
    "build.step_options": "runs.options.step_options",
    "build.testing": "runs.options.eval_options",
    "config.NOT_YAML": "config.load.NOT_YAML",
    "config.PACKAGE": "config.load.PACKAGE",
    "data.RGBIRSynthetic": "synthetic.benchmark.RGBIRSynthetic",
    "data.cache.ABANDONED": "data.cache.MAX_IDLE",
    "data.cache.MEMORY": "data.cache.MEMORY_FOLDER",
    "data.cross_modal.FORMATS": "data.images.FORMATS",
    "data.cross_modal.IMAGE_SUFFIXES": "data.images.IMAGE_SUFFIXES",
    "data.cross_modal.MAX_PIXELS": "data.images.MAX_PIXELS",
    "data.cross_modal.MEND": "data.images.ADVICE",
    "data.cross_modal.is_image_name": "data.images.is_image_name",
    "data.cross_modal.list_images": "data.images.list_images",
    "data.cross_modal.read_image": "data.images.read_image",
    "data.cross_modal.to_8_bits": "data.images.to_8_bits",
    "data.image_list.relabelled": "data.image_list.relabeled",
    "data.transforms.Augmentation": "data.augmentations.Augmentation",
    "data.transforms.BOXES": "data.augmentations.NUM_ERASE_TRIES",
    "data.transforms.Draws": "data.augmentations.RandomNumbers",
    "data.transforms.ERASED_AREA": "data.augmentations.ERASED_AREA",
    "data.transforms.ERASED_ASPECT": "data.augmentations.ERASED_ASPECT",
    "data.transforms.ERASE_DRAWS": "data.augmentations.NUM_ERASE_NUMBERS",
    "data.transforms.NUM_ERASE_NUMBERS": "data.augmentations.NUM_ERASE_NUMBERS",
    "data.transforms.NUM_ERASE_TRIES": "data.augmentations.NUM_ERASE_TRIES",
    "data.transforms.PADDING": "data.augmentations.PADDING",
    "data.transforms.channel_augment": "data.augmentations.channel_augment",
    "data.transforms.channel_erase": "data.augmentations.channel_erase",
    "data.transforms.pad_crop": "data.augmentations.pad_crop",
    "data.transforms.random_crop": "data.augmentations.random_crop",
    "data.transforms.random_erase": "data.augmentations.random_erase",
    "data.transforms.random_flip": "data.augmentations.random_flip",
    "engine.Testing": "engine.evaluation.EvalOptions",
    "engine.baseline.LOSSES": "engine.baseline.TORCHREID_ENGINES",
    "engine.checkpoint.NUM_NAMED": "files.checkpoint.MAX_LISTED",
    "engine.resumable.NEEDED": "engine.resumable.REQUIRED_KEYS",
    "engine.resumable.OF_THE_OPTIMIZER": "engine.resumable.OPTIMIZER_KEYS",
    "engine.testing.Testing": "engine.evaluation.EvalOptions",
    "engine.update.Averaged": "engine.ema.EMA",
    "engine.update.DTYPES": "engine.device.DTYPES",
    "engine.update.Update": "engine.step.TrainingStep",
    "engine.update.compile_works": "engine.device.compile_works",
    "engine.update.precision": "engine.device.autocast_dtype",
    "losses.mso.SMOOTHING": "losses.identity.SMOOTHING",
    "losses.mso.batch_hard_triplet": "losses.batch_hard_triplet.batch_hard_triplet",
    "losses.mso.identity": "losses.identity.identity",
    "losses.own.OwnLoss": "losses.registry.Loss",
    "losses.vgg.SMALLEST": "losses.vgg.MIN_SIZE",
    "losses.vgg.as_picture": "losses.vgg.as_vgg_input",
    "metrics.ranking.Skip": "metrics.ranking.Ignored",
    "models.dual_resnet.LOSSES": "models.two_stream.LOSS_NAMES",
    "models.dual_resnet.LOSS_NAMES": "models.two_stream.LOSS_NAMES",
    "models.dual_resnet.Stream": "models.two_stream.Stream",
    "retrieval.Match": "retrieval.reference_table.ReferenceMatch",
    "retrieval.Rows": "retrieval.reference_table.ReferenceTable",
    "retrieval.Where": "retrieval.reference_table.Filter",
    "retrieval.gallery.About": "retrieval.gallery.GalleryInfo",
    "retrieval.listing.read_listing": "retrieval.image_table.read_image_table",
    "retrieval.read_listing": "retrieval.image_table.read_image_table",
    "retrieval.rows.Match": "retrieval.reference_table.ReferenceMatch",
    "retrieval.rows.Rows": "retrieval.reference_table.ReferenceTable",
    "retrieval.rows.Where": "retrieval.reference_table.Filter",
    "run_folder.COLOUR": "runs.folder.ANSI_COLORS",
    "run_folder.OF_THIS_START": "runs.folder.IGNORED_KEYS",
    "stand_in.StandInDataManager": "integration.patched_classes.PatchedDataManager",
    "stand_in.StandInEngine": "integration.patched_classes.PatchedEngine",
    "stand_in.bare": "models.loading.bare_model",
    "visual.Match": "protocols.ranked_lists.RankedImage",
    "visual.ranked.Match": "protocols.ranked_lists.RankedImage",
    "visual.ranked.ranked_lists": "protocols.ranked_lists.ranked_lists",
    "visual.ranked_lists": "protocols.ranked_lists.ranked_lists",
}


def install() -> None:
    """Makes the old paths importable; a second call changes nothing."""
    if not any(isinstance(finder, OldNames) for finder in sys.meta_path):
        sys.meta_path.insert(0, OldNames())
        for module in _with_old_names() & sys.modules.keys():
            _add_lookup(sys.modules[module])


class OldNames(MetaPathFinder, Loader):
    """Finds a moved module as an alias of the new one, and teaches the other modules the names that they had."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname.removeprefix(f"{PACKAGE}.") in MODULES:
            return ModuleSpec(fullname, self)
        spec = PathFinder.find_spec(fullname, path) if fullname in _with_old_names() else None
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_add(module: ModuleType) -> None:
                execute(module)
                _add_lookup(module)

            spec.loader.exec_module = execute_and_add  # type: ignore[method-assign]
        return spec

    def exec_module(self, module: ModuleType) -> None:
        _add_lookup(module)


def _with_old_names() -> set[str]:
    """The modules that still exist and had names or submodules which they no longer have."""
    owners = {old.rpartition(".")[0] for old in (*MODULES, *NAMES)} - MODULES.keys()
    return {f"{PACKAGE}.{owner}".rstrip(".") for owner in owners}


def _add_lookup(module: ModuleType) -> None:
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
