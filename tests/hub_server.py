"""A server on the loopback address that answers like Hugging Face's hub, with one model at one commit."""

import hashlib
import http.server
import threading
from contextlib import contextmanager

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "org/night"
REVISIONS = ("main", "v1", COMMIT)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.server.requests.append((self.command, self.path))
        name, _, rest = self.path.strip("/").partition("/resolve/")
        revision, _, file = rest.partition("/")
        content = self.server.files.get(file)
        if name != NAME:
            return self.refuse("RepoNotFound")
        if revision not in REVISIONS:
            return self.refuse("RevisionNotFound")
        if content is None:
            return self.refuse("EntryNotFound")
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def refuse(self, code):
        self.send_response(404)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args):
        pass


def point_to(monkeypatch, port):
    """Makes the hub's library ask a port of this machine."""
    from huggingface_hub import constants

    template = constants.HUGGINGFACE_CO_URL_TEMPLATE.removeprefix(constants.ENDPOINT)
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", constants.ENDPOINT + template)


@contextmanager
def serving(monkeypatch, cache):
    """Yields the server, which the hub's library asks, with an empty cache. Its `files` maps names to bytes."""
    from huggingface_hub import constants

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.requests = {}, []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        point_to(monkeypatch, server.server_port)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        yield server
        server.shutdown()
