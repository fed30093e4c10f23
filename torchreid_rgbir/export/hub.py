"""Exports a trained model in the layout of Hugging Face's hub: weights, configuration and a model card."""

import json
import logging
from pathlib import Path
from typing import Any

import torch
import yaml

from torchreid_rgbir.extras import require
from torchreid_rgbir.files import atomic, hub
from torchreid_rgbir.files.checkpoint import read_checksums
from torchreid_rgbir.metrics.report import markdown_table, setting_name
from torchreid_rgbir.models.loading import load_model

logger = logging.getLogger(__name__)

CARD = "README.md"  # the name that the hub shows
LIBRARY = "torchreid-rgbir"
PATHS = {  # keys of the configuration that name places on the author's machine
    "data": ("root", "save_dir", "cache_dir"),
    "model": ("load_weights", "resume", "pretrained"),
}


def export_hub(weights: str | Path, out: str | Path, results: str | Path = "") -> bool:
    """Writes model.safetensors, config.json and README.md, a model card that is filled in from results.json.

    `Extractor.load(out)` and `model.load_weights out` read the folder. The files contain no path of this machine.

    Args:
        weights: a checkpoint that `train` wrote.
        out: folder to write to. It is made if it is missing.
        results: the results.json of a test of these weights. Empty takes the one of the checkpoint's run, unless it
            belongs to different weights.

    Returns:
        Whether the card has results.

    Raises:
        FileNotFoundError: the checkpoint or the results are missing.
        ValueError: a file cannot be read, or an extra is not installed.
        NotADirectoryError: `out` is a file.
    """
    require("hub", "safetensors")
    from safetensors.torch import save

    model, about = load_model(weights)
    found = _read_results(Path(results).expanduser()) if results else _results_of_run(Path(weights).expanduser())
    settings = yaml.safe_load(about.get("config") or "{}")
    for part, keys in PATHS.items():
        settings[part] = {key: value for key, value in settings.get(part, {}).items() if key not in keys}
    out = Path(out).expanduser()
    with atomic.filling(out, last=hub.CONFIG) as folder:
        state = {name: value.clone(memory_format=torch.contiguous_format) for name, value in model.state_dict().items()}
        (folder / hub.WEIGHTS).write_bytes(save(state, {"format": "pt"}))
        config = {key: about[key] for key in ("model", "images", "versions") if key in about}
        config |= {"library_name": LIBRARY, "config": settings, "sha256": hub.sha256(folder / hub.WEIGHTS)}
        (folder / hub.CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        (folder / CARD).write_text(card(out.absolute().name, config, found), encoding="utf-8")
    return found is not None


def card(name: str, config: dict, results: dict | None) -> str:
    """Returns the model card in the form of docs/model_card_template.md, with the hub's metadata above it.

    Args:
        name: of the model.
        config: the content of config.json.
        results: the content of results.json, or None if the weights were not tested.
    """
    images, settings, versions = config["images"], config["config"], config.get("versions", {})
    sources = ", ".join(settings["data"].get("sources", ["unknown"]))
    head: dict[str, Any] = {"library_name": LIBRARY, "tags": ["person-re-identification", "visible-infrared"]}
    if results:
        head["model-index"] = [{"name": name, "results": [_index_entry(results, one) for one in results["settings"]]}]
    run = (results or {}).get("run", {})
    data = [f"| {part} | {about['num_files']} | {about['sha256']} |" for part, about in run.get("data", {}).items()]
    commit = f", commit {run['git']}" if run.get("git") else ""
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        f"# {name}",
        "",
        "This model compares visible (RGB) and infrared (IR) images of people or vehicles.",
        "",
        "```python",
        "from torchreid_rgbir.retrieval import Extractor",
        "",
        f'extractor = Extractor.load("hf://ORG/{name}")  # or the path of this folder',
        'features = extractor(["night.jpg"], "ir")  # (1, D), length 1: the dot product is the similarity',
        "```",
        "",
        "## Model",
        "",
        "| | |",
        "|---|---|",
        "| author, contact, date | unknown |",
        f"| architecture | {config['model']['name']} |",
        f"| image size | {images['height']} x {images['width']} pixels (height x width) |",
        f"| intensity rule for images with more than 8 bits | {images.get('ir_range', 'dtype')} |",
        f"| SHA-256 of {hub.WEIGHTS} | {config['sha256']} |",
        f"| code | {LIBRARY} {versions.get('torchreid_rgbir', 'unknown')}{commit} |",
        f"| versions | {', '.join(f'{package} {number}' for package, number in versions.items()) or 'unknown'} |",
        "| license of the weights | unknown: it cannot permit more than the terms of the training data |",
        "",
        "The method (MSO) is covered by a patent. Neither the license of the code nor this card grants a license to it.",
        "",
        "## Data",
        "",
        f"The model was trained on {sources}, with {config['model']['num_classes']} identities.",
        "",
        *(["| part | images | SHA-256 of the names and labels |", "|---|---|---|", *data, ""] if data else []),
        "Place, time, cameras, consent and the people in the images: unknown.",
        "",
        "## Results",
        "",
        markdown_table(results).rstrip() if results else "The weights were not tested.",
        "",
        *(["The standard deviation is over the trials of one run.", ""] if results else []),
        "## Limits",
        "",
        "- The results hold for the data and the protocol above. A different camera, wavelength, season, crop or",
        "  resolution, and different clothes, change them.",
        "- In a larger gallery, an unknown person is more often identified as someone else. Calibrate the threshold",
        "  on your own images (`torchreid-rgbir calibrate`).",
        "- Differences between groups of people were not measured.",
        "- Do not use the model for decisions about people without a human who sees the images and can overrule it,",
        "  nor for identification without a legal basis.",
        "",
    ]
    return "\n".join(lines)


def _index_entry(results: dict, setting: dict) -> dict:
    """One test in the form of the hub's model-index. Measures are in percent."""
    metrics = [
        {"type": key, "name": key, "value": round(100 * setting["mean"][key], 2)} for key in ("rank1", "mAP", "mINP")
    ]
    dataset = {"type": results["dataset"], "name": f"{results['dataset']} ({setting_name(setting)})"}
    return {"task": {"type": "image-feature-extraction"}, "dataset": dataset, "metrics": metrics}


def _results_of_run(weights: Path) -> dict | None:
    """The results of the run that wrote a checkpoint, if they belong to the same weights."""
    path = weights.parent.parent / "results.json"
    if not path.is_file():
        logger.warning("the model card has no results, because there is no %s: give the file with --results", path)
        return None
    results, checksums = _read_results(path), read_checksums(weights.parent)
    # model-best.pth.tar and the newest checkpoint often have the same content. The folder may have moved since the test.
    tested = Path(results.get("checkpoint") or "").name
    if tested != weights.name and (tested not in checksums or checksums[tested] != checksums.get(weights.name)):
        logger.warning(
            "the model card has no results, because %s belongs to %s: test %s, and give its results with --results",
            path,
            tested or "an unknown checkpoint",
            weights,
        )
        return None
    return results


def _read_results(path: Path) -> dict:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: give the results.json of a test of these weights")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
        markdown_table(results)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not a results.json ({error!r}): give the file that a test wrote") from None
    return results
