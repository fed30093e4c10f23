from urllib.error import URLError

import pytest
import torch
from torchvision import models

from torchreid_rgbir.models import dual_resnet18, dual_resnet50_ibn_a
from torchreid_rgbir.models.ibn import ResNet50IBNaWeights, resnet50_ibn_a
from torchreid_rgbir.models.imagenet import load_imagenet

WEIGHTS = models.ResNet18_Weights.IMAGENET1K_V1
NAME = "resnet18-f37072fd.pth"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Empties torch's cache and disconnects the network."""

    def unreachable(*args, **kwargs):
        raise URLError("no network in this test")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    monkeypatch.setattr(torch.hub, "urlopen", unreachable)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def one_line(error):
    text = str(error.value)
    assert "\n" not in text
    return text


def test_missing_file_says_what_to_put_where(cache):
    with pytest.raises(FileNotFoundError) as error:
        dual_resnet18(4)
    text = one_line(error)
    assert str(cache / NAME) in text and WEIGHTS.url in text and "model.pretrained False" in text


def test_both_layer0s_start_from_the_file(cache):
    torch.manual_seed(0)
    published = models.resnet18()
    torch.save(published.state_dict(), cache / NAME)
    model = dual_resnet18(4)
    for name, value in published.state_dict().items():
        if name.startswith(("conv1.", "bn1.")):
            assert torch.equal(model.state_dict()[f"layer0.rgb.{name}"], value)
            assert torch.equal(model.state_dict()[f"layer0.ir.{name}"], value)
        elif not name.startswith("fc."):
            assert torch.equal(model.state_dict()[name], value)


def test_old_file_without_batch_counters(cache):
    state = {k: v for k, v in models.resnet18().state_dict().items() if "num_batches_tracked" not in k}
    torch.save(dict(state), cache / NAME)
    assert torch.equal(dual_resnet18(4).layer3[0].conv1.weight, state["layer3.0.conv1.weight"])


def test_ibn_a_starts_from_its_authors_file(cache):
    url = ResNet50IBNaWeights.IMAGENET1K_V1.url
    with pytest.raises(FileNotFoundError) as error:
        dual_resnet50_ibn_a(4)
    assert url in one_line(error) and "model.pretrained False" in str(error.value)

    torch.manual_seed(0)
    published = resnet50_ibn_a().state_dict()
    names = models.resnet50().state_dict().keys()  # those of the file, except the halves of the first normalizations
    assert {name for name in published if ".bn1.IN." not in name and ".bn1.BN." not in name} <= names
    assert {f"layer1.0.bn1.{half}.weight" for half in ("IN", "BN")} <= published.keys()
    torch.save(dict(published), cache / url.rpartition("/")[2])
    state = dual_resnet50_ibn_a(4).state_dict()
    for name, value in published.items():
        if not name.startswith("fc."):
            own = (
                [f"layer0.{stream}.{name}" for stream in ("rgb", "ir")]
                if name.startswith(("conv1.", "bn1."))
                else [name]
            )
            assert all(torch.equal(state[key], value) for key in own), name


def test_prefix_takes_a_part(cache):
    published = models.resnet18()
    torch.save(published.state_dict(), cache / NAME)
    layer = models.resnet18().layer2
    load_imagenet(layer, WEIGHTS, prefix="layer2.")
    assert torch.equal(layer[0].conv1.weight, published.layer2[0].conv1.weight)


def cut_off(path):
    torch.save(models.resnet18().state_dict(), path)
    path.write_bytes(path.read_bytes()[:100_000])


@pytest.mark.parametrize(
    "write",
    [
        cut_off,
        lambda path: path.write_text("<html>not found</html>"),
        lambda path: path.write_bytes(b""),
        lambda path: torch.save(torch.zeros(3), path),
        lambda path: torch.save(models.resnet50().state_dict(), path),
        lambda path: torch.save(models.resnet34().state_dict(), path),
    ],
    ids=["cut off", "a web page", "empty", "a tensor", "other shapes", "more layers"],
)
def test_wrong_file_is_named(cache, write):
    write(cache / NAME)
    with pytest.raises(ValueError) as error:
        dual_resnet18(4)
    assert str(cache / NAME) in one_line(error)


def test_failed_checksum_of_a_download(cache, monkeypatch):
    def download(url, dst, hash_prefix=None, progress=True):
        raise RuntimeError('invalid hash value (expected "f37072fd", got "00000000")')

    monkeypatch.setattr(torch.hub, "download_url_to_file", download)
    with pytest.raises(ValueError, match="damaged"):
        dual_resnet18(4)
