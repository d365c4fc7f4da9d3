"""The boundary between the page and the network: whose requests are answered, and what every response says.

One ASGI middleware around everything else. A request is refused if a page of another site sent it, or if it reached
this machine under a name that is not this machine's. Knows no person and no role.
"""

import ipaddress
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION_SECONDS = 12 * 3600.0
"""A login lasts for a day's work."""

TOKEN = "studio-token"
"""Cookie, and header `x-studio-token`: a page in the Space's frame repeats the first in the second, a foreign one
cannot read it."""

FORWARDING = (
    "forwarded",
    "via",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-real-ip",
    "x-client-ip",
    "true-client-ip",
    "cf-connecting-ip",
)
"""Headers that a proxy adds: a request with one of them began somewhere else."""

SESSIONS = ("session", "access-token-")
"""Beginnings of the names of cookies that a login sets."""

POLICY = "; ".join(
    (
        "default-src 'self'",
        # Gradio keeps its settings in an inline script, and makes functions of the `js` of events.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' data: blob:",
        "worker-src 'self' blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self' https://huggingface.co",
        "frame-ancestors 'self' https://huggingface.co",
    )
)

HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


@dataclass(frozen=True)
class Network:
    """Place of the server in the network.

    Attributes:
        proxy: whether requests come through a proxy, whose forwarding headers are trusted.
        hosts: further names that the page is reached by.
        framed: whether the page lives in the frame of a Hugging Face Space.
    """

    proxy: bool = False
    hosts: tuple[str, ...] = ()
    framed: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, proxy: bool = False) -> "Network":
        """Read the place from the environment: a Space is behind a proxy and in a frame."""
        space = "SPACE_ID" in environ
        hosts = tuple(host.strip() for host in environ.get("SPACE_HOST", "").split(",") if host.strip())
        return cls(proxy or space, hosts, space)


AT_HOME = Network()
"""Reached directly, under the server's own name."""

ADDRESS: ContextVar[str] = ContextVar("address", default="")
"""Sender of the request that is being answered."""


def guard(network: Network) -> Callable[[Any], AbstractAsyncContextManager[None]]:
    """The `lifespan` of an application of Gradio that puts the boundary around it, and lets logins end."""
    # The server itself would trust every sender at this machine: whom to trust is decided at the boundary.
    os.environ["FORWARDED_ALLOW_IPS"] = ""

    @asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[None]:
        # Middlewares that are given to Gradio lie within its own for CORS, which lets every origin in.
        app.middleware_stack = Boundary(app.middleware_stack, network)
        app.tokens = Sessions()
        yield

    return lifespan


class Boundary:
    """The middleware.

    Args:
        app: all that is within.
        network: where the server is.
    """

    def __init__(self, app: ASGIApp, network: Network) -> None:
        self.app = app
        self.network = network

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it with a sentence."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        # A request of this machine that bears no forwarding header has come past the proxy: it gets no leniency.
        behind = self.network.proxy and not _is_public(_peer(scope)) and any(name in headers for name in FORWARDING)
        host = _first(headers, "x-forwarded-host") if behind else ""
        host = host or headers.get("host", "")
        secure = (behind and _first(headers, "x-forwarded-proto") or scope.get("scheme")) == "https"
        refusal = self._refusal(scope, headers, host, behind)
        if behind and (address := sender(headers.get("x-forwarded-for", ""))):
            scope["client"] = (address, 0)
        ADDRESS.set(shared_address(_peer(scope)))

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._keep_cookies(message, secure=secure)
                out = MutableHeaders(scope=message)
                out.update(HEADERS)
                if self.network.framed and scope["path"] == "/" and TOKEN not in headers.get("cookie", ""):
                    out.append("set-cookie", f"{TOKEN}={secrets.token_urlsafe(24)}; Path=/; {self._same_site(True)}")
            await send(message)

        if refusal:
            return await PlainTextResponse(refusal, 403)(scope, receive, send_guarded)
        await self.app(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: Headers, host: str, behind: bool) -> str:
        """Explain why a request is not answered; empty if it is."""
        here = (scope.get("server") or ("",))[0]
        name = _name(host)
        if not behind and _is_loopback(here) and not _is_loopback(name) and name not in self.network.hosts:
            return (
                f"This page answers under this machine's own name (localhost), and was asked for as '{name}'. If a "
                "proxy passes requests on to it, start it with --proxy, and let the proxy add X-Forwarded-For."
            )
        origin = headers.get("origin")
        if origin is not None:
            known = {_place(name) for name in (host, headers.get("host", ""), *self.network.hosts)}
            if _place(_site(origin)) not in known:
                return (
                    f"A page of {origin} asked for this, and this is {host}: requests of other sites are refused. "
                    "If a proxy passes requests on under another name, start the page with --proxy."
                )
        elif headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return "A page of another site asked for this: requests of other sites are refused."
        if self.network.framed and origin is not None and scope.get("method") not in ("GET", "HEAD", "OPTIONS"):
            cookies = cookie_parser(headers.get("cookie", ""))
            if any(name.startswith(SESSIONS) for name in cookies):
                token = cookies.get(TOKEN, "")
                if not token or not secrets.compare_digest(token, headers.get("x-studio-token", "")):
                    return "The page's token is missing or old. Load the page again."
        return ""

    def _keep_cookies(self, message: Message, *, secure: bool) -> None:
        """Let cookies go along with requests of this site alone; in a Space's frame with those of the frame."""
        kept = []
        for name, value in message["headers"]:
            if name.lower() == b"set-cookie":
                parts = [part.strip() for part in value.decode("latin-1").split(";")]
                dropped = ("samesite", "secure", "partitioned")
                parts = [part for part in parts if part.partition("=")[0].lower() not in dropped]
                value = "; ".join([*parts, self._same_site(secure)]).encode("latin-1")
            kept.append((name, value))
        message["headers"] = kept

    def _same_site(self, secure: bool) -> str:
        if self.network.framed:
            return "SameSite=None; Secure; Partitioned"
        return "SameSite=Lax; Secure" if secure else "SameSite=Lax"


class Sessions(dict[str, str]):
    """Tokens of logins as Gradio keeps them, {token: name}; each is forgotten after a while.

    Args:
        seconds: that a login lasts.
        clock: seconds.
    """

    def __init__(self, seconds: float = SESSION_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds = seconds
        self._clock = clock
        self._ends: dict[str, float] = {}

    def __setitem__(self, token: str, name: str) -> None:
        """Begin a session; those that are over go."""
        for old in [old for old, end in self._ends.items() if end <= self._clock()]:
            self._ends.pop(old, None)
            self.pop(old, None)
        self._ends[token] = self._clock() + self._seconds
        super().__setitem__(token, name)

    def get(self, token: str, default: str | None = None) -> str | None:  # type: ignore[override]
        """The name of a session; None if there is none, or it is over."""
        return super().get(token, default) if self._ends.get(token, 0.0) > self._clock() else default


def sender(forwarded: str) -> str:
    """The address that a chain of proxies has a request from: the last public one, which a sender cannot make up.

    >>> sender("6.6.6.6, 93.184.216.34, 10.1.2.3"), sender("192.168.0.7"), sender("nonsense")
    ('93.184.216.34', '192.168.0.7', '')
    """
    addresses = [address for part in forwarded.split(",") if (address := _address(part))]
    public = [address for address in addresses if _is_public(address)]
    return (public or addresses or [""])[-1]


def shared_address(address: str) -> str:
    """What limits count an address as: each subscriber of IPv6 has a /64 network to choose addresses from.

    >>> shared_address("2001:db8:1:2:3::4"), shared_address("::ffff:9.9.9.9"), shared_address("9.9.9.9")
    ('2001:db8:1:2::/64', '9.9.9.9', '9.9.9.9')
    """
    if not _address(address):
        return address
    found = ipaddress.ip_address(_address(address))
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((int(found) >> 64 << 64, 64)))


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip().strip("[]")))
    except ValueError:
        return ""


def _is_public(address: str) -> bool:
    return bool(_address(address)) and ipaddress.ip_address(_address(address)).is_global


def _is_loopback(name: str) -> bool:
    address = _address(name)
    local = name.lower().rstrip(".")
    return (
        ipaddress.ip_address(address).is_loopback if address else local == "localhost" or local.endswith(".localhost")
    )


def _peer(scope: Scope) -> str:
    return str((scope.get("client") or ("",))[0])


def _first(headers: Headers, name: str) -> str:
    return headers.get(name, "").split(",")[0].strip()


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:  # A bracket that is not closed.
        return ""


def _site(origin: str) -> str:
    """Host and port of an origin; the origin itself if it has none, which is nobody's host."""
    try:
        return urlsplit(origin).netloc or origin
    except ValueError:
        return origin


def _place(host: str) -> str:
    """Host and port in one spelling, without the ports that go without saying."""
    return host.lower().removesuffix(":443").removesuffix(":80")
