"""The boundary between the page and the network: whose requests are answered, and what every response says.

One ASGI middleware around everything else. A request is refused if a page of another site sent it, or if it reached
this machine under a name that is not this machine's. Knows no person and no role.
"""

import ipaddress
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ser.errors import SettingsError
from ui.backend.limits import ADDRESS
from ui.backend.logins import Sessions

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

FILES = ("text/css", "text/javascript", "application/javascript", "font/")
"""Kinds of answers that the policy of the document rules already: with a hundred of them it would weigh 60 kB."""


PRIVATE = "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,127.0.0.0/8,fc00::/7,::1"
"""Where the proxies of a Space are; no visitor of a Space comes from there."""

Proxies = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]


def read_proxies(text: str) -> Proxies:
    """Read addresses and networks of proxies; none from words that only say that there is a proxy.

    Raises:
        SettingsError: if one is neither an address nor a network.

    >>> read_proxies("10.0.0.0/8, ::1"), read_proxies("1")
    ((IPv4Network('10.0.0.0/8'), IPv6Network('::1/128')), ())
    """
    if text.strip().lower() in ("", "1", "true", "yes", "on"):
        return ()
    try:
        return tuple(ipaddress.ip_network(part.strip(), strict=False) for part in text.split(","))
    except ValueError as error:
        raise SettingsError(
            f"The proxy is '{text}' ({error}). Name addresses or networks with commas, such as "
            "--proxy 10.0.0.0/8,192.168.1.7, or none for the one that requests come from."
        ) from error


@dataclass(frozen=True)
class Network:
    """Place of the server in the network.

    Attributes:
        proxy: whether requests come through a proxy, whose forwarding headers are trusted.
        hosts: further names that the page is reached by.
        framed: whether the page lives in the frame of a Hugging Face Space.
        proxies: addresses of the proxies; empty if there is one, which requests come from.
    """

    proxy: bool = False
    hosts: tuple[str, ...] = ()
    framed: bool = False
    proxies: Proxies = ()

    @classmethod
    def from_env(cls, environ: Mapping[str, str], *, proxy: str = "") -> "Network":
        """Read the place from the environment: a Space is behind proxies and in a frame.

        Args:
            environ: variables.
            proxy: addresses of proxies, or a word that there is one; empty for none.

        Raises:
            SettingsError: if an address is none.
        """
        space = "SPACE_ID" in environ
        hosts = tuple(host.strip() for host in environ.get("SPACE_HOST", "").split(",") if host.strip())
        return cls(bool(proxy) or space, hosts, space, read_proxies(proxy or (PRIVATE if space else "")))

    def forwarded(self, peer: str, headers: Headers) -> bool:
        """True if a request has come through a proxy that is declared.

        A request of this machine that bears no forwarding header has come past the proxy: it gets no leniency.
        """
        known = _within(peer, self.proxies) if self.proxies else not _is_public(peer)
        return self.proxy and known and any(name in headers for name in FORWARDING)


AT_HOME = Network()
"""Reached directly, under the server's own name."""


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
        behind = self.network.forwarded(peer(scope), headers)
        host = _first(headers, "x-forwarded-host") if behind else ""
        host = host or headers.get("host", "")
        secure = (behind and _first(headers, "x-forwarded-proto") or scope.get("scheme")) == "https"
        refusal = self._refusal(scope, headers, host, behind)
        if behind and (address := sender(headers.get("x-forwarded-for", ""), self.network.proxies)):
            scope["client"] = (address, 0)
        ADDRESS.set(shared_address(peer(scope)))

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._keep_cookies(message, secure=secure)
                out = MutableHeaders(scope=message)
                a_file = out.get("content-type", "").startswith(FILES)
                out.update({"X-Content-Type-Options": "nosniff"} if a_file else HEADERS)
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
        if not behind and is_loopback(here) and not is_loopback(name) and name not in self.network.hosts:
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


def sender(forwarded: str, proxies: Proxies = ()) -> str:
    """The address that a chain of proxies has a request from: the last one that is no declared proxy's.

    Each proxy adds whom it was asked by at the end, so what stands before that address is the sender's own word.

    >>> chain = "6.6.6.6, 93.184.216.34, 10.1.2.3"
    >>> sender(chain, read_proxies("10.0.0.0/8")), sender(chain), sender("nonsense")
    ('93.184.216.34', '10.1.2.3', '')
    """
    addresses = [_address(part) or _address(_name(part.strip())) for part in forwarded.split(",")]
    while len(addresses) > 1 and _within(addresses[-1], proxies):
        addresses.pop()
    return addresses[-1]


def shared_address(address: str) -> str:
    """Return what limits count an address as: each subscriber of IPv6 has a /64 network to choose addresses from.

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


def _within(address: str, networks: Proxies) -> bool:
    return bool(_address(address)) and any(ipaddress.ip_address(_address(address)) in network for network in networks)


def is_loopback(name: str) -> bool:
    """True for an address or a name of this machine alone."""
    address = _address(name)
    local = name.lower().rstrip(".")
    return (
        ipaddress.ip_address(address).is_loopback if address else local == "localhost" or local.endswith(".localhost")
    )


def peer(scope: Scope) -> str:
    """Address that a request comes from."""
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
