"""Limits on the size of uploads and other requests, checked before the first byte is read; within the page's logins."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from fastapi import Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ser.errors import SerError
from ui.backend.identity import charge, person, request_of
from ui.backend.services import Services

RECORDING = 48_000_000
"""A minute of 32-bit stereo at 96 kHz takes 46 MB."""

ARCHIVE = 256_000_000
"""For who may import; larger archives are for the command line."""

VALUES = 4_000_000
"""For requests that are no upload: values of fields, the longest of them a text."""


UPLOADS = ("/upload", "/process_recording")
"""Ends of the paths that take files; the second is of Gradio's own panel of settings, which records the screen."""


class UploadGuard:
    """The middleware.

    Args:
        app: all that is within.
        services: know who may upload how much.
    """

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self.app = app
        self.services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it with a sentence."""
        if scope["type"] == "http" and scope["method"] == "POST":
            try:
                self._check(scope)
            except SerError as error:
                await _drain(receive)
                return await PlainTextResponse(str(error), 413)(scope, receive, send)
            if scope["path"].rstrip("/").endswith(UPLOADS[0]):
                return await self._take_in(scope, receive, send)
        await self.app(scope, receive, send)

    async def _take_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an upload on; what was put in its place is kept until its sender uses it."""
        body = bytearray()
        with ExitStack() as stack:
            came: list[Callable[[Sequence[str]], None]] = []

            async def received() -> Message:
                message = await receive()
                # Only now: a slow upload must not keep the recordings of others.
                if not came and message["type"] == "http.request" and not message.get("more_body"):
                    came.append(stack.enter_context(self.services.uploads.arriving()))
                return message

            async def sent(message: Message) -> None:
                body.extend(message.get("body", b""))
                if came and message["type"] == "http.response.body" and not message.get("more_body"):
                    came[0](_paths(bytes(body)))
                await send(message)

            await self.app(scope, received, sent)

    def _check(self, scope: Scope) -> None:
        web = Request(scope)
        size = web.headers.get("content-length", "" if "transfer-encoding" in web.headers else "0")
        if not size.isdecimal():
            raise SerError("The request does not say how large it is. Send the header Content-Length.")
        if not scope["path"].rstrip("/").endswith(UPLOADS):
            if int(size) > VALUES:
                raise SerError(f"The request has {int(size) / 1e6:.0f} MB; at most {VALUES / 1e6:.0f} MB are taken.")
            return
        request = request_of(web)
        who = person(self.services, request, None)
        most = ARCHIVE if who.may("import clips") else RECORDING
        if int(size) > most:
            raise SerError(
                f"The upload has {int(size) / 1e6:.0f} MB; at most {most / 1e6:.0f} MB are taken, which a minute of "
                "uncompressed speech does not reach. Send a shorter or a compressed recording."
            )
        charge(self.services, request, "uploads", who)
        charge(self.services, request, "bytes", who, int(size))


def _paths(body: bytes) -> list[str]:
    """The files that an answer to an upload lists; none if it is a refusal."""
    try:
        listed = json.loads(body)
    except ValueError:
        return []
    return [path for path in listed if isinstance(path, str)] if isinstance(listed, list) else []


async def _drain(receive: Receive) -> None:
    """Let go of what is under way: a browser reads no answer to an upload that it is still sending."""
    taken = 0
    while taken <= ARCHIVE:
        message = await receive()
        taken += len(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return
