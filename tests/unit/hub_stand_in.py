"""A server that speaks as much of the Hub's HTTP as it takes to make data sets and models, and to commit and get files.

It keeps a history, as the Hub does: what a commit deletes can be had from earlier commits until they are squashed, and
large files until they are removed for good. On request it fails: too many requests, errors, dropped connections.
Source: the requests of huggingface_hub 2.4, seen on this server.
"""

import base64
import hashlib
import itertools
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from huggingface_hub import constants

TOKEN = "hf_writer"

FIRST = "0" * 40
"""The commit that a repository begins with."""

TROUBLES = ("429", "503", "dropped before", "dropped after")
"""What may happen to a request: refused, or its connection is dropped before or after it is obeyed."""


@dataclass
class HubStandIn:
    """Requests that the server has received.

    Attributes:
        url: its address.
        private: {data set: whether it was made private}.
        files: {data set: {path: content}} of its newest commit.
        unknown: requests that it had no answer for.
        large: endings of files that do not travel in a commit, as the Hub decides it.
        trouble_every: so many requests one fails, in each way in turn; 0 for never.
        retry_after: seconds that it asks for when there were too many requests.
        troubles: {kind: how many}.
        heads: {data set: its newest commit}.
        past: {data set: {commit: its files}}.
        objects: {data set: {SHA-256: content}} of large files.
        spaces: {repository: what it was made with}.
        settings: {Space: {("secrets" or "variables", name): value}}.
    """

    url: str = ""
    private: dict[str, bool] = field(default_factory=dict)
    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    large: tuple[str, ...] = ()
    trouble_every: int = 0
    retry_after: str = "0"
    troubles: dict[str, int] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    past: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    requests: int = 0
    ways: Iterator[str] = field(default_factory=lambda: itertools.cycle(TROUBLES))
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    spaces: dict[str, dict[str, object]] = field(default_factory=dict)
    settings: dict[str, dict[tuple[str, str], str]] = field(default_factory=dict)

    def everything(self, name: str) -> list[bytes]:
        """All bytes that lie in a data set, in any commit or among its large files, and their paths."""
        past = [part for files in self.past[name].values() for pair in files.items() for part in pair]
        now = [part for pair in self.files[name].items() for part in pair]
        found = [*past, *now, *self.objects[name].values()]
        return [part.encode() if isinstance(part, str) else part for part in found]


@contextmanager
def hub_stand_in() -> Iterator[HubStandIn]:
    """Serve on a free port until the block is left."""
    hub = HubStandIn()

    class Handler(_Handler):
        stand_in = hub

    with _Server(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        # Where a test before this one has found no hub, the library stays offline.
        offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, False
        try:
            yield hub
        finally:
            constants.HF_HUB_OFFLINE = offline
            server.shutdown()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of programs that were killed while they asked."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    stand_in: HubStandIn
    protocol_version = "HTTP/1.1"
    silent = False
    """Whether the answer is swallowed: the connection drops after the request was obeyed."""

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:  # noqa: N802
        self._obey(b"", self._file if "/resolve/" in self.path else lambda: self._answer(200, {}))

    def do_GET(self) -> None:  # noqa: N802
        self._obey(b"", self._file if "/resolve/" in self.path else self._get)

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._obey(body, lambda: self._post(body))

    def do_PUT(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._obey(body, lambda: self._put(body))

    def _obey(self, body: bytes, act: object) -> None:
        hub = self.stand_in
        trouble = None
        with hub.lock:
            hub.requests += 1
            if hub.trouble_every and hub.requests % hub.trouble_every == 0:
                trouble = next(hub.ways)
                hub.troubles[trouble] = hub.troubles.get(trouble, 0) + 1
        if trouble in ("429", "503"):
            self._answer(int(trouble), {"error": "not now"}, {"Retry-After": hub.retry_after})
            return
        self.silent = trouble == "dropped after"
        if trouble != "dropped before":
            with hub.lock:
                act()  # type: ignore[operator]
        if trouble is not None:
            self.close_connection = True

    def _get(self) -> None:
        hub = self.stand_in
        name, rest = self._named()
        if rest.startswith(("revision/", "")) and name in hub.files and not rest.startswith(("tree", "lfs-files")):
            siblings = [{"rfilename": path} for path in hub.files[name]]
            about = {
                "id": name,
                "sha": hub.heads.get(name, FIRST),
                "siblings": siblings,
                "private": hub.private[name],
                "tags": [],
            }
            self._answer(200, about)
        elif rest.startswith("tree"):
            self._answer(200, [self._listed(path, content) for path, content in hub.files.get(name, {}).items()])
        elif rest.startswith("lfs-files"):
            stored = [
                {"fileOid": sha, "filename": "", "oid": f"id {sha}", "pushedAt": "2026-01-01T00:00:00.000Z", "size": 0}
                for sha in hub.objects[name]
            ]
            self._answer(200, stored)
        elif self.path == "/api/agent-harnesses":
            # Asked for by the library, to tell the Hub which program uses it.
            self._answer(404, {"error": "no such thing"})
        else:
            hub.unknown.append(f"GET {self.path}")
            self._answer(404, {"error": "no such thing"})

    def _listed(self, path: str, content: bytes) -> dict[str, object]:
        entry: dict[str, object] = {"type": "file", "path": path, "size": len(content), "oid": FIRST}
        if path.endswith(self.stand_in.large or ("\0",)):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return entry

    def _post(self, body: bytes) -> None:
        hub = self.stand_in
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(401, {"error": "who are you"})
            return
        name, rest = self._named()
        if self.path == "/api/repos/create":
            self._create(json.loads(body))
        elif rest in ("secrets", "variables"):
            given = json.loads(body)
            self.stand_in.settings.setdefault(name, {})[rest, given["key"]] = given["value"]
            self._answer(200, {})
        elif rest.startswith("preupload"):
            files = [
                {
                    **file,
                    "uploadMode": "lfs" if file["path"].endswith(hub.large or ("\0",)) else "regular",
                    "shouldIgnore": False,
                }
                for file in json.loads(body)["files"]
            ]
            self._answer(200, {"files": files, "commitOid": hub.heads[name]})
        elif rest.startswith("commit"):
            self._commit(name, body)
        elif self.path.endswith(".git/info/lfs/objects/batch"):
            name = self.path.removesuffix(".git/info/lfs/objects/batch").removeprefix("/datasets/").strip("/")
            asked = json.loads(body)["objects"]
            answers = [
                {**one, "actions": {"upload": {"href": f"{hub.url}/large/{name}/{one['oid']}"}}}
                if one["oid"] not in hub.objects[name]
                else one
                for one in asked
            ]
            self._answer(200, {"transfer": "basic", "objects": answers})
        elif rest.startswith("super-squash"):
            hub.heads[name] = f"{next(hub.numbers):040x}"
            hub.past[name] = {hub.heads[name]: dict(hub.files[name])}
            self._answer(200, {})
        elif rest.startswith("lfs-files/batch"):
            for sha in json.loads(body)["deletions"]["sha"]:
                hub.objects[name].pop(sha, None)
            hub.heads[name] = f"{next(hub.numbers):040x}"
            self._answer(200, {})
        elif self.path.startswith("/api/validate-yaml"):
            self._answer(200, {"errors": [], "warnings": []})
        else:
            hub.unknown.append(f"POST {self.path}")
            self._answer(404, {"error": "no such thing"})

    def _create(self, asked: dict[str, object]) -> None:
        hub = self.stand_in
        name = f"{asked.get('organization') or 'me'}/{asked['name']}"
        hub.private.setdefault(name, asked.get("visibility") == "private" or asked.get("private") is True)
        for kept in (hub.files, hub.past, hub.objects):
            kept.setdefault(name, {})  # type: ignore[attr-defined]
        hub.heads.setdefault(name, FIRST)
        hub.spaces.setdefault(name, {"sdk": asked.get("sdk"), "hardware": asked.get("hardware")})
        kind = "" if asked.get("type", "model") == "model" else f"{asked['type']}s/"
        self._answer(200, {"url": f"{hub.url}/{kind}{name}", "id": "1", "name": name})

    def _put(self, body: bytes) -> None:
        _, _, owner, name, sha = self.path.split("/")
        if hashlib.sha256(body).hexdigest() != sha:
            self._answer(400, {"error": "not what was announced"})
            return
        self.stand_in.objects[f"{owner}/{name}"][sha] = body
        self._answer(200, {})

    def _commit(self, name: str, body: bytes) -> None:
        hub = self.stand_in
        files = dict(hub.files[name])
        for line in map(json.loads, body.decode().splitlines()):
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit") not in (None, hub.heads[name]):
                self._answer(412, {"error": "A commit has happened since. Please refresh and try again."})
                return
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = hub.objects[name][value["oid"]]
            elif line["key"] == "deletedFile" and files.pop(value["path"], None) is None:
                self._answer(404, {"error": f"A file with this name doesn't exist: {value['path']}"})
                return
        hub.files[name] = files
        hub.heads[name] = f"{next(hub.numbers):040x}"
        hub.past[name][hub.heads[name]] = dict(files)
        url = f"{hub.url}/datasets/{name}/commit/{hub.heads[name]}"
        self._answer(200, {"success": True, "commitOid": hub.heads[name], "commitUrl": url, "hookOutput": ""})

    def _named(self) -> tuple[str, str]:
        path = self.path.split("?")[0]
        for kind in ("datasets", "models", "spaces"):
            path = path.removeprefix(f"/api/{kind}/")
        parts = path.split("/", 2)
        return "/".join(parts[:2]), parts[2] if len(parts) > 2 else ""

    def _file(self) -> None:
        name, _, path = unquote(self.path.split("?")[0]).lstrip("/").removeprefix("datasets/").partition("/resolve/")
        content = self.stand_in.files.get(name, {}).get(path.partition("/")[2])
        if content is None or self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._answer(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"})
            return
        if self.silent:
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", self.stand_in.heads[name])
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _answer(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        if self.silent:
            return
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)
