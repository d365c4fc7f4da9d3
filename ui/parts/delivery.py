"""Delivery to browsers: the document with the page's own scripts, and files that are compressed and fetched once.

Gradio's interface begins in English wherever the page is opened, and is translated like the page: by itself it
follows the browser's language, before any script of the page runs.
"""

import asyncio
import gzip
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import brotli
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ENGLISH = "<script>Object.defineProperty(navigator, 'language', { configurable: true, get: () => 'en' });</script>"
HEAD = b"<head>"
LOGIN = b'"auth_required"'
"""What the document of the login page has, which none of the page's scripts is for."""

FILES = re.compile(r"^/(assets/.+\.(js|css)|static/(fonts|js)/.+|theme\.css)$")
"""Files of Gradio's that stay as they are while the server runs; their addresses, but for fonts, change with them."""

HLS = re.compile(r"^/assets/hls-[\w-]+\.js$")
"""The player of live streams in Gradio's component for audio, a fifth of all that the page would load."""

EXPORTS = re.compile(rb"export\s*\{([^{}]*)\};?\s*$")

KINDS = {"js": "text/javascript; charset=utf-8", "json": "application/json"}

FOREVER = "public, max-age=31536000, immutable"
ASKED_AGAIN = "private, no-cache"
"""A browser keeps the document, and asks if it is still the same."""

QUALITY, GOOD, BEST = 8, 9, 11
"""Of Brotli: 0.1 s for all of Gradio's files of a first load, where the best would take 1.6 s for 5 % less. In a
thread documents are compressed well, in 0.1 s, and the page's own few files as well as can be, in 0.4 s each, once."""

SMALLEST = 200
"""Bytes under which compressing gains nothing."""

MOST_KEPT = 400
"""Answers that are kept compressed: some 120 files, and documents, which differ by who is logged in."""

PACKED: OrderedDict[tuple[str, str], bytes] = OrderedDict()
"""{(digest and quality, coding): what was compressed}, the oldest first; all servers of a process share it."""

CONDITIONS = (b"accept-encoding", b"if-none-match", b"if-modified-since")
"""Headers by which what is within could answer without the whole file."""


@dataclass(frozen=True)
class Sent:
    """A file or document as it is sent.

    Attributes:
        body: its bytes.
        media_type: with the charset.
        cache: the value of `Cache-Control`.
        quality: of Brotli.
    """

    body: bytes
    media_type: str
    cache: str
    quality: int = QUALITY

    @cached_property
    def digest(self) -> str:
        """A mark of its content."""
        return hashlib.sha256(self.body).hexdigest()[:20]


class Delivery:
    """The middleware.

    Args:
        app: all that is within.
        head: HTML that the document's head begins with.
        login: script of the login page, where Gradio's own form does not show how long one has to wait.
        script: the page's scripts as one file.
        others: {address relative to the page: JSON or script that is asked for}; addresses change with their content.
    """

    def __init__(self, app: ASGIApp, head: str, login: str, script: bytes, others: Mapping[str, bytes]) -> None:
        self.app = app
        self._login = f"{ENGLISH}<script>{login}</script>".encode()
        file = Sent(script, KINDS["js"], FOREVER, BEST)
        address = f"studio/{file.digest}.js"
        # Deferred: it runs before the module that starts Gradio, which waits for the document as well.
        self._head = f'{ENGLISH}{head}<script defer src="{address}"></script>'.encode()
        told = {name: Sent(body, KINDS[name.rpartition(".")[2]], FOREVER, BEST) for name, body in others.items()}
        self._files = {f"/{name}": sent for name, sent in ({address: file} | told).items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for a file, put the scripts into a document, and let all else through as it is."""
        if scope["type"] != "http" or scope["method"] != "GET" or "range" in Headers(scope=scope):
            return await self.app(scope, receive, send)
        path = scope["path"]
        if path in self._files:
            return await self._answer(self._files[path], (), scope, receive, send)
        lasting = FILES.match(path) is not None
        start: Message | None = None
        parts: list[bytes] = []

        async def send_changed(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                kind = Headers(raw=message["headers"]).get("content-type", "")
                if message["status"] == 200 and (lasting or kind.startswith("text/html")):
                    start = message
                    return
            elif start is not None and message["type"] == "http.response.body":
                parts.append(message.get("body", b""))
                if not message.get("more_body"):
                    sent = self._changed(path, start, b"".join(parts))
                    cookies = [header for header in start["headers"] if header[0] == b"set-cookie"]
                    await self._answer(sent, cookies, scope, receive, send)
                return
            await send(message)

        asked = [header for header in scope["headers"] if header[0] not in CONDITIONS]
        await self.app({**scope, "headers": asked} if lasting else scope, receive, send_changed)

    def _changed(self, path: str, start: Message, body: bytes) -> Sent:
        """Make what is sent from what is within: a file, which is kept, or a document with the scripts."""
        kind = Headers(raw=start["headers"]).get("content-type", "")
        if FILES.match(path):
            self._files[path] = Sent(without_hls(body) if HLS.match(path) else body, kind, FOREVER)
            return self._files[path]
        head = self._login if LOGIN in body else self._head
        return Sent(body.replace(HEAD, HEAD + head, 1), kind, ASKED_AGAIN, GOOD)

    async def _answer(
        self, sent: Sent, cookies: Iterable[tuple[bytes, bytes]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Send a file or document as well compressed as the browser can read it, or only that it is still the same."""
        asked = Headers(scope=scope)
        coding = next((name for name in PACKERS if name in asked.get("accept-encoding", "")), "")
        if len(sent.body) < SMALLEST or sent.media_type.startswith("font/"):
            coding = ""
        tag = f'"{sent.digest}{coding}"'
        headers = {"Cache-Control": sent.cache, "ETag": tag, "Vary": "Accept-Encoding"}
        if tag in asked.get("if-none-match", ""):
            response = Response(status_code=304, headers=headers)
        else:
            body = await self._pack(sent, coding) if coding else sent.body
            headers |= {"Content-Encoding": coding} if coding else {}
            response = Response(body, headers=headers, media_type=sent.media_type)
        response.raw_headers.extend(cookies)
        await response(scope, receive, send)

    async def _pack(self, sent: Sent, coding: str) -> bytes:
        key = (f"{sent.digest} {sent.quality}", coding)
        packed = PACKED.pop(key, b"")
        if not packed:
            thread = sent.quality > QUALITY
            packed = await asyncio.to_thread(PACKERS[coding], sent) if thread else PACKERS[coding](sent)
        PACKED[key] = packed
        while len(PACKED) > MOST_KEPT:
            PACKED.popitem(last=False)
        return packed


PACKERS: dict[str, Callable[[Sent], bytes]] = {
    "br": lambda sent: brotli.compress(sent.body, quality=sent.quality),
    "gzip": lambda sent: gzip.compress(sent.body, 6, mtime=0),
}
"""What each content coding makes of a file; the best one first."""


def without_hls(module: bytes) -> bytes:
    """A module that says that live streams cannot be played, in place of one that plays them: the page has none.

    Gradio's players then take an address as it is, as they do in browsers that play such streams by themselves. A
    module of another form stays as it is.

    >>> without_hls(b"var a=1;export{a as n,b as t};")
    b'const no = () => false; export { no as n, no as t };'
    """
    found = EXPORTS.search(module)
    if found is None:
        return module
    names = [part.split()[-1].decode() for part in found[1].split(b",")]
    return f"const no = () => false; export {{ {', '.join(f'no as {name}' for name in names)} }};".encode()
