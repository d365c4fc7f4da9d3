"""Requests that Gradio would fail at before a handler of the page sees them, refused with a sentence.

Also refuses Gradio's routes that the page has no use for: some keep a connection, a file or a session for anybody.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ser.errors import SerError
from ui.parts.errors import REFUSED

UNUSED = re.compile(
    r"^(/gradio_api)?/(component_server|deep_link|dev/|file=https?:|monitoring|profiling/|proxy=|undo-vibe|vibe-)"
)
"""Routes of Gradio for its own tools, for components that the page has not, and for fetching foreign addresses."""

CALL = re.compile(r"^/gradio_api/(?P<way>run|api|call/v2|call)/(?P<name>[^/]+)/?$|^/gradio_api/queue/join/?$")
"""Ways to call an endpoint: by its name, or by the number in the body."""


class EndpointGuard:
    """The middleware; within the guard of uploads, so that a body is known to be small.

    Args:
        app: all that is within.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it with a sentence."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = re.sub("/{2,}", "/", scope["path"])
        if UNUSED.match(path):
            return await PlainTextResponse("This page does not offer that.", 404)(scope, receive, send)
        found = CALL.match(path)
        if found is None or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        body = await _read(receive)
        try:
            _check(scope["app"].get_blocks().fns, found["way"], found["name"], body)
        except SerError as error:
            return await PlainTextResponse(str(error), 422)(scope, receive, send)
        await self.app(scope, _replay(body, receive), _refusals_are_requests_faults(send))


def _refusals_are_requests_faults(send: Send) -> Send:
    """Answer what the page has refused with 422: Gradio answers every error with 500, as if it were the server's."""
    held: list[Message] = []

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 500:
            held.append(message)
            return
        if held:
            start = held.pop()
            status = 422 if json.dumps(REFUSED).encode() in message.get("body", b"") else 500
            await send({**start, "status": status})
        await send(message)

    return marked


def _check(functions: Mapping[int, Any], way: str | None, name: str | None, body: bytes) -> None:
    """Check that a body calls an endpoint that there is, with as many values as it takes."""
    try:
        given = json.loads(body)
    except RecursionError as error:
        raise SerError("The values of the request are nested too deeply. Send flat ones.") from error
    except ValueError as error:
        raise SerError('The body of the request is no JSON. Send an object with the values as "data".') from error
    try:
        json.dumps(given, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise SerError("A text of the request holds half a character (a lone surrogate). Send whole ones.") from error
    if not isinstance(given, dict):
        raise SerError('The body of the request is no object. Send an object with the values as "data".')
    number = given.get("fn_index") if way in ("run", "api", None) else None
    if number is None and name is not None:
        function = next((one for one in functions.values() if one.api_name == name), None)
    elif isinstance(number, int | float | str):
        try:
            function = functions.get(int(number))
        except (ValueError, OverflowError):
            return
    else:
        return
    # The second version of calls by name reads the values off the public description of the endpoints.
    # Nor is one of an event that only the page's script answers.
    if function is None or function.fn is None or (way == "call/v2" and function.api_visibility == "private"):
        asked = name if number is None else number
        raise SerError(f"There is no endpoint '{str(asked)[:60]}' here. /gradio_api/info lists those that there are.")
    if given.get("batched"):
        raise SerError("No endpoint here takes batches. Send one request for each.")
    data = given.get("data")
    if way in ("run", "api") and isinstance(data, list) and len(data) < len(function.inputs):
        raise SerError(
            f"The endpoint '{function.api_name or function._id}' takes {len(function.inputs)} values in \"data\", and "
            f"{len(data)} came. Send null for each value that you leave out."
        )


async def _read(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Hand over a body that was read, then all that follows."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed
