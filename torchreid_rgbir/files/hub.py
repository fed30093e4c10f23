"""Models in the layout of Hugging Face's hub: a folder with config.json and model.safetensors, here or on the hub."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urldefrag

import yaml

from torchreid_rgbir.extras import require

SCHEME = "hf://"
CONFIG, WEIGHTS = "config.json", "model.safetensors"
ADDRESS = re.compile(rf"{SCHEME}([\w.-]+/[\w.-]+)(?:@([^@#]+))?")


def is_address(source: object) -> bool:
    """Whether `source` is an address on the hub, `hf://ORG/NAME`, rather than a path."""
    return isinstance(source, str) and source.startswith(SCHEME)


def download(address: str) -> Path:
    """Returns the local folder of a model on the hub. Only files that the hub's cache lacks are downloaded.

    The library of the hub reads these environment variables: HF_HUB_OFFLINE=1 uses only the cache, HF_HOME moves the
    cache, HF_TOKEN gives access to private models, and HF_ENDPOINT names a different server.

    Args:
        address: `hf://ORG/NAME[@REVISION][#sha256=HEX]`. The revision is a branch, a tag or a commit, and without it the
            newest one is used. The checksum is that of the weights.

    Raises:
        ValueError: the address is malformed, the model or the revision does not exist, the download fails, or the weights
            have a different checksum.
    """
    require("hub", "huggingface_hub", "safetensors")
    from huggingface_hub import errors, hf_hub_download

    bare, fragment = urldefrag(address)
    parsed, wanted = ADDRESS.fullmatch(bare), parse_qs(fragment)
    if not parsed or (fragment and wanted.keys() != {"sha256"}):
        raise ValueError(
            f"{address} is not an address on the hub: write hf://ORG/NAME, @REVISION or #sha256=HEX may follow"
        )
    name, revision = parsed.groups()
    try:
        config = Path(hf_hub_download(name, CONFIG, revision=revision))
        # The name of the folder is the commit. A commit that the author adds meanwhile must not mix two models.
        weights = Path(hf_hub_download(name, WEIGHTS, revision=config.parent.name))
    except errors.RepositoryNotFoundError:
        reason = "does not exist, or you have no access: check the name, or set HF_TOKEN if the model is private"
        raise ValueError(f"{bare} {reason}") from None
    except errors.RevisionNotFoundError:
        raise ValueError(f"hf://{name} has no revision {revision}: give a branch, a tag or a commit") from None
    except errors.LocalEntryNotFoundError:
        raise ValueError(
            f"{bare} is not in the cache, and the hub is offline or cannot be reached: connect to the network, unset "
            "HF_HUB_OFFLINE, or give a folder that `export --layout hub` wrote"
        ) from None
    except errors.EntryNotFoundError:
        raise ValueError(f"{bare} lacks {CONFIG} or {WEIGHTS}: give a model of `export --layout hub`") from None
    except Exception as error:  # the connection and the library fail in many ways
        reason = str(error).splitlines()[0] if str(error) else repr(error)
        raise ValueError(f"{bare} cannot be downloaded ({reason}): try again, or give a local folder") from None
    if wanted:
        _check(weights, wanted["sha256"][-1].lower(), "the address")
    return config.parent


def read(folder: Path) -> dict[str, Any]:
    """Reads a model as `checkpoint.load` does.

    Returns:
        `state_dict`, the weights on the CPU, and `about`, the metadata of the checkpoint that was exported.

    Raises:
        FileNotFoundError: one of the two files is missing.
        ValueError: a file is damaged, or the weights differ from the checksum in config.json.
    """
    require("hub", "safetensors")
    from safetensors.torch import load_file

    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}: give a checkpoint, or a folder of `export --layout hub`")
    try:
        about = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        checksum, settings = about["sha256"], about["config"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG} is damaged ({error!r}): export or download the model again") from None
    _check(folder / WEIGHTS, checksum, CONFIG)
    return {"state_dict": load_file(folder / WEIGHTS), "about": about | {"config": yaml.safe_dump(settings)}}


def sha256(path: Path) -> str:
    """The checksum of a file, in hexadecimal digits."""
    with open(path, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _check(path: Path, expected: str, source: str) -> None:
    if (found := sha256(path)) != expected:
        raise ValueError(
            f"{path} has the checksum {found} instead of {expected} in {source}: delete {path.parent} and get it again"
        )
