"""Signed webhooks: tells another program of promotions, and of every so many votes; numbers and names of versions.

A delivery is a POST of JSON with `X-Studio-Timestamp` and `X-Studio-Signature: sha256=...`, the HMAC-SHA256 of the
timestamp, a dot and the body under the shared secret. Tries again after failures; redirects are not followed.
"""

import hashlib
import hmac
import http.client
import ipaddress
import json
import logging
import queue
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from annotations.store import AnnotationStore
from ser.errors import SerError, SettingsError

log = logging.getLogger("page")

SHORTEST_SECRET = 16
TIMEOUT = 5.0
PAUSES = (1.0, 5.0, 25.0)
"""Seconds between tries; after the last one the delivery is given up and logged."""

MOST_WAITING = 100
EVERY = 10.0
"""Seconds between looks at the store."""


@dataclass(frozen=True)
class Webhook:
    """A receiver of notifications.

    Attributes:
        url: address of the receiver.
        secret: shared with it.
        votes: after so many new votes.
        private: whether the receiver may have an address that is not public.
    """

    url: str
    secret: str
    votes: int = 100
    private: bool = False

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Webhook | None":
        """Read `SER_WEBHOOK` and `SER_WEBHOOK_SECRET`, `_VOTES`, `_PRIVATE`; None without the first.

        Raises:
            SettingsError: if one of them cannot be used.
        """
        url = environ.get("SER_WEBHOOK", "").strip()
        if not url:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"The webhook is '{url}'; expected an address that begins with https:// or http://.")
        secret = environ.get("SER_WEBHOOK_SECRET", "")
        if len(secret) < SHORTEST_SECRET:
            raise SettingsError(
                f"The webhook needs a secret of at least {SHORTEST_SECRET} characters in SER_WEBHOOK_SECRET: with it "
                "the receiver knows who sends."
            )
        votes = environ.get("SER_WEBHOOK_VOTES") or "100"
        if not votes.isdecimal() or int(votes) < 1:
            raise SettingsError(f"SER_WEBHOOK_VOTES is '{votes}'; expected a whole number of 1 or more.")
        return cls(url, secret, int(votes), bool(environ.get("SER_WEBHOOK_PRIVATE")))


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a delivery.

    >>> sign("a secret of 16 ch", "1", b"{}")[:14]
    'sha256=f34be54'
    """
    return "sha256=" + hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


def deliver(hook: Webhook, event: str, content: Mapping[str, object]) -> None:
    """Send one delivery, once.

    Raises:
        SerError: if the receiver's address is private, or it does not answer with success.
    """
    parts = urlsplit(hook.url)
    host, port = str(parts.hostname), parts.port or (443 if parts.scheme == "https" else 80)
    address = _address(host, port, hook.private)
    now = str(int(time.time()))
    body = json.dumps({"event": event, "at": datetime.now(UTC).isoformat(), **content}).encode()
    headers = {
        "Host": parts.netloc.rpartition("@")[2],
        "Content-Type": "application/json",
        "User-Agent": "speech-emotion-studio",
        "X-Studio-Event": event,
        "X-Studio-Delivery": str(uuid.uuid4()),
        "X-Studio-Timestamp": now,
        "X-Studio-Signature": sign(hook.secret, now, body),
    }
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        # Connected by the address that was looked at: a name may mean another one at the next question.
        sock = socket.create_connection((address, port), timeout=TIMEOUT)
        if parts.scheme == "https":
            sock = ssl.create_default_context().wrap_socket(sock, server_hostname=host)
        connection.sock = sock
        connection.request("POST", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", body, headers)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        raise SerError(f"The webhook's receiver cannot be reached ({type(error).__name__}).") from error
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise SerError(f"The webhook's receiver answered {status}.")


class Webhooks:
    """Looks for events and delivers them, on threads of its own, from `start` to `stop`.

    Args:
        store: whose promotions and votes are told.
        hook: where to.
        pauses: between tries.
        every: seconds between looks.
    """

    def __init__(
        self, store: AnnotationStore, hook: Webhook, pauses: tuple[float, ...] = PAUSES, every: float = EVERY
    ) -> None:
        self._store = store
        self._hook = hook
        self._pauses = pauses
        self._every = every
        self._stopped = threading.Event()
        self._waiting: queue.Queue[tuple[str, dict[str, object]]] = queue.Queue(MOST_WAITING)
        self._promotion, self._votes = self._seen()
        self._threads = [
            threading.Thread(target=work, name=name, daemon=True)
            for name, work in (("webhook-events", self._watch), ("webhook-sender", self._send))
        ]

    def start(self) -> "Webhooks":
        """Begin; what happened before is not told."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """End; a delivery under way is finished, one that waits for another try is given up."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(timeout=TIMEOUT + 1)

    def look(self) -> None:
        """Queue what has happened since the last look."""
        promotion, votes = self._seen()
        rows = self._store.fetch(
            "SELECT promotions.id AS id, name, target, promotions.created_at AS at "
            "FROM promotions JOIN model_versions ON model_versions.id = model_version_id "
            "WHERE promotions.id > ? ORDER BY promotions.id",
            (self._promotion,),
        )
        for row in rows:
            self._queue("promotion", {"version": row["name"], "target": row["target"], "promoted_at": row["at"]})
        for reached in range(self._votes // self._hook.votes + 1, votes // self._hook.votes + 1):
            self._queue("votes", {"votes": reached * self._hook.votes})
        self._promotion, self._votes = promotion, votes

    def _seen(self) -> tuple[int, int]:
        query = "SELECT (SELECT coalesce(max(id), 0) FROM promotions) AS p, (SELECT count(*) FROM corrections) AS v"
        (row,) = self._store.fetch(query)
        return row["p"], row["v"]

    def _queue(self, event: str, content: dict[str, object]) -> None:
        try:
            self._waiting.put_nowait((event, content))
        except queue.Full:
            log.error("A webhook of a %s was dropped: %d wait already.", event, MOST_WAITING)

    def _watch(self) -> None:
        while not self._stopped.wait(self._every):
            try:
                self.look()
            except SerError as error:
                log.error("The store could not be looked at for webhooks: %s", error)

    def _send(self) -> None:
        while not self._stopped.is_set():
            try:
                event, content = self._waiting.get(timeout=0.2)
            except queue.Empty:
                continue
            for pause in (*self._pauses, None):
                try:
                    deliver(self._hook, event, content)
                    break
                except SerError as error:
                    if pause is None or self._stopped.wait(pause):
                        log.error("A webhook of a %s was given up: %s", event, error)
                        break


def _address(host: str, port: int, private: bool) -> str:
    """An address of the receiver.

    Raises:
        SerError: if it has none, or one of them is not public and that is not allowed.
    """
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except OSError as error:
        raise SerError(f"The webhook's receiver {host} has no address.") from error
    closed = sorted(one for one in found if not ipaddress.ip_address(one.partition("%")[0]).is_global)
    if closed and not private:
        raise SerError(
            f"The webhook's receiver {host} is at {closed[0]}, which is not public. Set SER_WEBHOOK_PRIVATE=1 if the "
            "receiver is meant to be in your own network."
        )
    return sorted(found)[0]
