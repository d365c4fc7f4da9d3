"""Webhooks: signed, tried again, told of promotions and votes, never to private addresses unless allowed."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from annotations.learning.versions.registry import promote_version
from annotations.store import NewVote
from ser.errors import SerError, SettingsError
from ser.testing import synthetic_speech
from tests.unit.stored import add_version
from ui.backend.services import Services
from ui.operations.webhooks import Webhook, Webhooks, deliver, sign

SECRET = "a secret of 20 chars"


class Receiver(ThreadingHTTPServer):
    """Keeps what it is sent; answers 503 as often as it is told, then 204, and redirects at /elsewhere."""

    failing = 0

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.tries = 0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.server_port}/hook?a=b"


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def log_message(self, *given: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:  # noqa: N802
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.tries += 1
        if self.path.startswith("/elsewhere"):
            self.send_response(302)
            self.send_header("Location", "/hook")
        elif self.server.tries <= self.server.failing:
            self.send_response(503)
        else:
            self.server.got.append((dict(self.headers), body))
            self.send_response(204)
        self.end_headers()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def until(server: Receiver, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(server.got) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_promotions_and_votes_are_told_signed(page_services: Services, receiver: Receiver) -> None:
    store, receiver.failing = page_services.store, 2
    hooks = Webhooks(store, Webhook(receiver.url, SECRET, votes=2, private=True), (0.01, 0.01, 0.01), 0.05).start()
    for seed in range(5):
        clip = store.add_clip(synthetic_speech(0.4, seed=seed), source="page", consent=("training",))
        store.add_correction(clip.id, NewVote("zoe-the-rater", "correct", label="fear"))
    (store.data_dir / "models" / "v2").mkdir(parents=True)
    version = add_version(store, "v2", "b" * 64, {})
    promote_version(store, version, by="mia", reason="better")
    until(receiver, 3)
    hooks.stop()
    told = [json.loads(body) for _, body in receiver.got]
    assert sorted(one["votes"] for one in told if one["event"] == "votes") == [2, 4]
    assert [one["version"] for one in told if one["event"] == "promotion"] == ["v2"]
    assert receiver.tries == 5, "two failures were tried again"
    for headers, body in receiver.got:
        assert headers["X-Studio-Signature"] == sign(SECRET, headers["X-Studio-Timestamp"], body)
        assert b"zoe" not in body and b"mia" not in body
    assert len({headers["X-Studio-Delivery"] for headers, _ in receiver.got}) == 3


def test_what_cannot_be_delivered_is_given_up_and_logged(
    page_services: Services, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.failing = 1000
    hooks = Webhooks(page_services.store, Webhook(receiver.url, SECRET, 1, True), (0.01,), 0.05).start()
    clip = page_services.store.add_clip(synthetic_speech(0.4, seed=1), source="page", consent=("training",))
    page_services.store.add_correction(clip.id, NewVote("ann", "correct", label="fear"))
    deadline = time.monotonic() + 60
    while "was given up: The webhook's receiver answered 503" not in caplog.text:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    hooks.stop()
    assert receiver.tries == 2 and any(record.levelno == logging.ERROR for record in caplog.records)


def test_private_addresses_and_redirects_are_refused(receiver: Receiver) -> None:
    for host in ("127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254"):
        with pytest.raises(SerError, match="which is not public"):
            deliver(Webhook(f"http://{host}:{receiver.server_port}/", SECRET), "votes", {})
    with pytest.raises(SerError, match="answered 302"):
        deliver(Webhook(f"http://localhost:{receiver.server_port}/elsewhere", SECRET, private=True), "votes", {})
    assert receiver.got == []


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"SER_WEBHOOK": "ftp://a.example"}, "begins with https"),
        ({"SER_WEBHOOK": "https://a.example"}, "SER_WEBHOOK_SECRET"),
        ({"SER_WEBHOOK": "https://a.example", "SER_WEBHOOK_SECRET": SECRET, "SER_WEBHOOK_VOTES": "0"}, "1 or more"),
    ],
)
def test_settings_that_cannot_be_used(environ: dict[str, str], message: str) -> None:
    assert Webhook.from_env({}) is None
    with pytest.raises(SettingsError, match=message):
        Webhook.from_env(environ)
