"""Files from the network, served by this machine to itself."""

import hashlib
import http.server
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from torchreid_rgbir import config
from torchreid_rgbir.cli import main
from torchreid_rgbir.files import checkpoint, download
from torchreid_rgbir.runs.train import train

CONTENT = bytes(range(256)) * 1000
DRIVE_ID = "1dUUZ4rHDWohmsQXCRe2C_HbYkzz94iBV"  # the form of one, nobody's file


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/missing":
            self.send_error(404)
            return
        content = self.server.content
        self.server.requests.append(self.path)
        time.sleep(self.server.pause)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path == "/cut" else content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.content, server.requests, server.pause = CONTENT, [], 0
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def files(tmp_path):
    return [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_file_is_fetched_once(server, tmp_path):
    path = download.fetch(f"{server.url}/weights.pth")
    assert path.read_bytes() == CONTENT and path.name.endswith("-weights.pth")
    assert download.fetch(f"{server.url}/weights.pth") == path
    assert server.requests == ["/weights.pth"] and files(tmp_path) == [path]


def test_checksum_and_size_are_checked(server, tmp_path):
    right = hashlib.sha256(CONTENT).hexdigest()
    for fragment in (f"sha256={right.upper()}", f"size={len(CONTENT)}", f"sha256={right}&size={len(CONTENT)}"):
        assert download.fetch(f"{server.url}/weights.pth#{fragment}").read_bytes() == CONTENT
    kept = files(tmp_path)
    for fragment in (f"sha256={'0' * 64}", "size=7"):
        with pytest.raises(ValueError, match="instead of .*: check the address"):
            download.fetch(f"{server.url}/weights.pth#{fragment}")
    assert files(tmp_path) == kept


@pytest.mark.parametrize(("name", "reason"), [("cut", "the connection ended after"), ("missing", "Not Found")])
def test_what_does_not_arrive_whole_is_not_kept(server, tmp_path, name, reason):
    with pytest.raises(ValueError, match=f"/{name} cannot be downloaded .*{reason}.*give the path"):
        download.fetch(f"{server.url}/{name}")
    assert not files(tmp_path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html><title>Sign in</title></html>", "a web page"),
        (b'{"error": "not found"}\n', "a text"),
        (b"", "an empty file"),
    ],
)
def test_what_cannot_be_weights_is_refused_and_the_next_try_downloads_again(server, tmp_path, content, kind):
    server.content = content
    with pytest.raises(ValueError, match=f"/weights.pth is {kind}, not a file of weights: .*give its path") as refused:
        download.fetch(f"{server.url}/weights.pth")
    assert "\n" not in str(refused.value) and not files(tmp_path)
    server.content = CONTENT
    assert download.fetch(f"{server.url}/weights.pth").read_bytes() == CONTENT


def test_a_web_page_that_an_earlier_version_kept_is_replaced(server, tmp_path):
    path = download.fetch(f"{server.url}/weights.pth")
    path.write_text("<html></html>")
    assert download.fetch(f"{server.url}/weights.pth").read_bytes() == CONTENT


def test_two_that_need_one_file_download_it_once(server, tmp_path):
    server.pause = 1
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(download.fetch, [f"{server.url}/weights.pth"] * 2)
    assert first == second and first.read_bytes() == CONTENT
    assert server.requests == ["/weights.pth"] and files(tmp_path) == [first]


def test_no_network(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cache"))
    with pytest.raises(ValueError, match=r"cannot be downloaded \(.*refused.*\): download it by hand"):
        download.fetch("http://127.0.0.1:9/weights.pth")
    assert not files(tmp_path)


def test_google_drive_goes_through_gdown(server, tmp_path, monkeypatch):
    asked = []

    def answer(id, output, quiet):
        asked.append(id)
        output.write(CONTENT)

    monkeypatch.setattr("gdown.download", answer)
    assert download.fetch(DRIVE_ID).read_bytes() == CONTENT
    assert asked == [DRIVE_ID]


@pytest.mark.parametrize("error", [ConnectionError("no route"), None])
def test_google_drive_refuses(server, tmp_path, monkeypatch, error):
    def refuse(**options):
        options["output"].write(b"half")
        raise error or download.gdown.exceptions.FileURLRetrievalError("Too many users have viewed this file")

    monkeypatch.setattr("gdown.download", refuse)
    with pytest.raises(ValueError, match="cannot be downloaded .(no route|Too many users)"):
        download.fetch(DRIVE_ID)
    assert not files(tmp_path)


@pytest.mark.parametrize(
    ("source", "remote"),
    [
        ("https://host/a.pth", True),
        ("http://host/a.pth#sha256=00", True),
        (DRIVE_ID, True),
        (f"{DRIVE_ID}#size=3", True),
        ("log/run/model/model.pth.tar-2", False),
        ("model-best.pth.tar", False),
        ("file:///etc/passwd", False),
        ("", False),
    ],
)
def test_what_is_a_path_and_what_is_not(source, remote):
    assert download.is_remote(source) == remote


def test_a_file_with_a_name_like_an_id_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / DRIVE_ID).touch()
    assert not download.is_remote(DRIVE_ID)


def test_a_run_starts_from_weights_by_url(fast_cfg, server, tmp_path, capsys):
    train(config.override(fast_cfg.clone(), ["data.save_dir", str(tmp_path / "first"), "train.max_epoch", "1"]))
    weights = tmp_path / "first" / "model" / "model.pth.tar-1"
    server.content = weights.read_bytes()
    url = f"{server.url}/weights.pth#sha256={hashlib.sha256(server.content).hexdigest()}"
    engine = train(config.override(fast_cfg, ["model.load_weights", url, "test.evaluate", "True"]))
    saved = checkpoint.load(weights)["state_dict"]
    assert all(torch.equal(value, saved[key]) for key, value in engine.model.state_dict().items())


def test_a_wrong_url_ends_in_one_line(fast_cfg, server, tmp_path, capsys):
    (tmp_path / "cfg.yaml").write_text(fast_cfg.dump())
    words = ["train", "--config-file", str(tmp_path / "cfg.yaml"), "--root", fast_cfg.data.root]
    assert main([*words, "model.load_weights", f"{server.url}/missing"]) == 2
    error = capsys.readouterr().err
    assert "cannot be downloaded (Not Found)" in error and error.count("\n") == 1
    assert not (tmp_path / "run").exists()
