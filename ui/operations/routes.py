"""Health, readiness and metrics over HTTP, requests counted, and no new work while the page stops.

One ASGI middleware within the boundary; it knows no handler of the page.
"""

import hmac
import importlib
import json
import logging
import os
import threading
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ser.errors import SerError
from ui.backend.boundary import FORWARDING, is_loopback, peer
from ui.backend.services import Services

log = logging.getLogger("page")

TOKEN_VARIABLE = "SER_METRICS_TOKEN"
"""Environment variable with the token that a scraper from elsewhere sends as `Authorization: Bearer TOKEN`."""

SHORTEST_TOKEN = 16
RETRY_AFTER = "30"
ENDLESS = "/heartbeat/"
"""Part of the path of requests that last as long as a page is open."""


class Traffic:
    """Requests under way, and whether new work is taken; safe to call from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way = 0
        self.stopping = False

    def begin(self) -> None:
        """Count a request that has come."""
        with self._lock:
            self._under_way += 1

    def end(self) -> None:
        """Count a request that has been answered."""
        with self._lock:
            self._under_way -= 1

    @property
    def under_way(self) -> int:
        """Requests that have come and are not answered yet."""
        return self._under_way

    def drain(self, services: Services, seconds: float) -> bool:
        """Take no new work, and wait for what is under way; returns whether all of it was answered in time."""
        self.stopping = True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self._under_way and not sum(services.turns.load()):
                return True
            time.sleep(0.05)
        return False


class Operations:
    """The middleware.

    Args:
        app: all that is within.
        services: of the page.
        traffic: of this server.
    """

    def __init__(self, app: ASGIApp, services: Services, traffic: Traffic) -> None:
        self.app = app
        self.services = services
        self.traffic = traffic
        self._collector: Any = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a look at the page's health, or let a request through and count it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = scope["path"].rstrip("/")
        if path in ("/healthz", "/readyz", "/metrics") and scope["method"] in ("GET", "HEAD"):
            return await self._look(path, scope)(scope, receive, send)
        if self.traffic.stopping and scope["method"] == "POST":
            refusal = "The page is being stopped. Try again in half a minute."
            return await PlainTextResponse(refusal, 503, {"Retry-After": RETRY_AFTER})(scope, receive, send)
        start, status = time.perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self.services.measures.responded(status)
            await send(message)

        endless = ENDLESS in path
        if not endless:
            self.traffic.begin()
        try:
            await self.app(scope, receive, counted)
        finally:
            if not endless:
                self.traffic.end()
            seconds = round(time.perf_counter() - start, 4)
            log.debug(
                "request", extra={"method": scope["method"], "route": route(path), "status": status, "s": seconds}
            )

    def _look(self, path: str, scope: Scope) -> Response:
        if path == "/healthz":
            return PlainTextResponse("ok\n")
        if path == "/readyz":
            problems = self._problems()
            found = {"ready": not problems, "problems": problems, "under_way": self.traffic.under_way}
            return Response(json.dumps(found) + "\n", 503 if problems else 200, media_type="application/json")
        if refusal := metrics_refusal(scope, os.environ.get(TOKEN_VARIABLE, "")):
            return PlainTextResponse(refusal, 403)
        exposition = importlib.import_module("ui.operations.exposition")
        if self._collector is None:
            app = scope["app"]
            sessions = app.state_holder.session_data
            self._collector = exposition.StudioCollector(
                self.services, lambda: len(sessions), lambda: len(getattr(app, "tokens", ()))
            )
        return Response(exposition.exposition(self._collector), media_type=exposition.CONTENT_TYPE)

    def _problems(self) -> list[str]:
        """Find out why the page should get no visitors now; empty if it should."""
        problems = ["stopping"] if self.traffic.stopping else []
        try:
            self.services.store.active_version()
        except SerError:
            problems.append("store")
        waiting, _ = self.services.turns.load()
        if waiting >= self.services.turns.most_waiting:
            problems.append("queue full")
        return problems


def metrics_refusal(scope: Scope, token: str) -> str:
    """Explain why a request may not read the metrics; empty if it may: from this machine, or with the token."""
    headers = Headers(scope=scope)
    if is_loopback(peer(scope)) and not any(name in headers for name in FORWARDING):
        return ""
    given = headers.get("authorization", "").removeprefix("Bearer ")
    if len(token) >= SHORTEST_TOKEN and hmac.compare_digest(given.encode(), token.encode()):
        return ""
    return (
        f"Metrics are for this machine, and for who sends the token. Start the page with {TOKEN_VARIABLE} (at least "
        f"{SHORTEST_TOKEN} characters), and send it as Authorization: Bearer TOKEN."
    )


def route(path: str) -> str:
    """A path without what is somebody's: session, file and event names are cut off.

    >>> route("/gradio_api/call/recognize/1a2b"), route("/gradio_api/file=/tmp/x.wav"), route("/gradio_api/run/page")
    ('/gradio_api/call', '/gradio_api/file', '/gradio_api/run/page')
    """
    parts = path.split("/")
    if "=" in path:
        return path.partition("=")[0]
    if len(parts) > 3 and parts[2] in ("run", "api", "queue"):
        return "/".join(parts[:4])
    return "/".join(parts[:3])
