"""A small server on this machine that speaks the hub's addresses (listing, HEAD and GET with ranges). It can fail."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """Repositories by name, each a dict of file name to bytes. `faults`: file name to "cut" or "flip"."""

    def __init__(self, repositories: dict[str, Path | dict[str, bytes]]):
        read = lambda files: files if isinstance(files, dict) else {p.name: p.read_bytes() for p in files.iterdir()}
        self.repositories = {name: read(files) for name, files in repositories.items()}
        self.faults: dict[str, str] = {}
        self.asked: list[str] = []
        self.gated: set[str] = set()
        self.status: dict[str, int] = {}

    def listing(self, name: str) -> dict:
        siblings = []
        for file, data in self.repositories[name].items():
            entry = {"rfilename": file, "size": len(data), "blobId": git_hash(data)}
            if file.endswith(".safetensors"):
                entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}
            siblings.append(entry)
        return {"id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": [], "downloads": 0, "likes": 0,
                "siblings": siblings}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body: bool):
        hub, path = self.server.hub, self.path.partition("?")[0]
        hub.asked.append(f"{self.command} {path}")
        if path.startswith("/api/models/"):
            return self._listing(hub, path.removeprefix("/api/models/"))
        name, _, rest = path[1:].partition("/resolve/")
        file = rest.partition("/")[2]
        if file not in hub.repositories.get(name, {}):
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
        data = hub.repositories[name][file]
        tag = hashlib.sha256(data).hexdigest() if file.endswith(".safetensors") else git_hash(data)
        if hub.faults.get(file) == "flip":
            data = data[:-1] + bytes([data[-1] ^ 1])
        headers = {"ETag": f'"{tag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        start = int(self.headers["Range"].removeprefix("bytes=").partition("-")[0]) if self.headers["Range"] else 0
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self._send(206 if start else 200, data[start:], headers, body, cut=hub.faults.get(file) == "cut")

    def _listing(self, hub: Hub, name: str):
        name = name.partition("/revision/")[0]
        if name in hub.status:
            return self._send(hub.status[name], b"", {})
        if name in hub.gated:
            return self._send(403, b"", {"X-Error-Code": "GatedRepo"})
        if name not in hub.repositories:
            return self._send(401, b'{"error":"Repository not found"}', {"X-Error-Code": "RepoNotFound"})
        self._send(200, json.dumps(hub.listing(name)).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, headers: dict, body: bool = True, cut: bool = False):
        self.send_response(status)
        for key, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data[: len(data) // 2] if cut else data)
        if cut:
            self.close_connection = True


@contextmanager
def serve(hub: Hub):
    """The address of a running server for `hub`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.hub = hub
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
