"""A server that speaks as much of the Hub's HTTP as it takes to make data sets and models, and to commit and get files.

Source: the requests of huggingface_hub 2.4, seen on this server.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from huggingface_hub import constants

TOKEN = "hf_writer"


@dataclass
class HubStandIn:
    """Requests that the server has received.

    Attributes:
        url: its address.
        private: {data set: whether it was made private}.
        files: {data set: {path: content}}.
        unknown: requests that it had no answer for.
        spaces: {repository: what it was made with}.
        settings: {Space: {("secrets" or "variables", name): value}}.
    """

    url: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    spaces: dict[str, dict[str, object]] = field(default_factory=dict)
    settings: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)


@contextmanager
def hub_stand_in() -> Iterator[HubStandIn]:
    """Serve on a free port until the block is left."""
    hub = HubStandIn()

    class Handler(_Handler):
        stand_in = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # Where a test before this one has found no hub, the library stays offline.
        offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, False
        try:
            yield hub
        finally:
            constants.HF_HUB_OFFLINE = offline
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    stand_in: HubStandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:  # noqa: N802
        if "/resolve/" in self.path:
            self._file()
        else:
            self._answer(200, {})

    def do_GET(self) -> None:  # noqa: N802
        if "/resolve/" in self.path:
            self._file()
            return
        name, rest = self._named()
        if rest.startswith(("revision/", "")) and name in self.stand_in.files and not rest.startswith("tree"):
            siblings = [{"rfilename": path} for path in self.stand_in.files[name]]
            private = self.stand_in.private[name]
            self._answer(200, {"id": name, "sha": "0" * 40, "siblings": siblings, "private": private, "tags": []})
        elif rest.startswith("tree"):
            listed = [
                {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
                for path, content in self.stand_in.files.get(name, {}).items()
            ]
            self._answer(200, listed)
        else:
            self.stand_in.unknown.append(f"GET {self.path}")
            self._answer(404, {"error": "no such thing"})

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "who are you"})
            return
        name, rest = self._named()
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            self.stand_in.private.setdefault(name, asked.get("visibility") == "private" or asked.get("private") is True)
            self.stand_in.files.setdefault(name, {})
            self.stand_in.spaces.setdefault(name, {"sdk": asked.get("sdk"), "hardware": asked.get("hardware")})
            kind = "" if asked.get("type", "model") == "model" else f"{asked['type']}s/"
            self._answer(200, {"url": f"{self.stand_in.url}/{kind}{name}", "id": "1", "name": name})
        elif rest in ("secrets", "variables"):
            given = json.loads(body)
            self.stand_in.settings.setdefault(name, {})[rest, given["key"]] = given["value"]
            self._answer(200, {})
        elif rest.startswith("preupload"):
            files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            self._answer(200, {"files": files, "commitOid": "0" * 40})
        elif rest.startswith("commit"):
            self._commit(name, body)
        elif self.path.startswith("/api/validate-yaml"):
            self._answer(200, {"errors": [], "warnings": []})
        else:
            self.stand_in.unknown.append(f"POST {self.path}")
            self._answer(404, {"error": "no such thing"})

    def _commit(self, name: str, body: bytes) -> None:
        files = self.stand_in.files[name]
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                files.pop(value["path"], None)
        url = f"{self.stand_in.url}/datasets/{name}/commit/{'1' * 40}"
        self._answer(200, {"success": True, "commitOid": "1" * 40, "commitUrl": url, "hookOutput": ""})

    def _named(self) -> tuple[str, str]:
        path = self.path.split("?")[0]
        for kind in ("datasets", "models", "spaces"):
            path = path.removeprefix(f"/api/{kind}/")
        parts = path.split("/", 2)
        return "/".join(parts[:2]), parts[2] if len(parts) > 2 else ""

    def _file(self) -> None:
        name, _, path = self.path.split("?")[0].lstrip("/").partition("/resolve/")
        content = self.stand_in.files.get(name, {}).get(path.partition("/")[2])
        if content is None or self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(404, {"error": "no such file"})
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _answer(self, status: int, content: object) -> None:
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
