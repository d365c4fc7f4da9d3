"""The way of live microphones to the server: blocks of sound in order, each answered with what is known by then.

A browser begins a stream, then sends what has been recorded since, one request after the other. Each block says at
which sample it begins, so that one sent twice is taken once and none is left out.
"""

import asyncio
from collections.abc import Awaitable, Callable

import gradio as gr
import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from ser.errors import SerError
from ui.backend.identity import charge, label_texts, owner_of, request_of
from ui.backend.limits import MAX_TIMELINE_DURATION, TooMuchError
from ui.backend.services import Services
from ui.backend.turns import BusyError
from ui.live.panel import live_state
from ui.live.streams import LiveStream, MissingSoundError, NotLiveError
from ui.parts.errors import sentence
from ui.parts.presentation import clock

STREAMS = "/studio/live"

RATES = (8_000, 192_000)
"""Hz of the slowest and the fastest microphone."""

PATIENCE = 2.0
"""Seconds that a block waits for its answer; the sound has been taken by then."""

MOST_SECONDS = 10
"""Of sound in one block."""

LARGEST = 2 * MOST_SECONDS * RATES[1]
"""Bytes of a block of the fastest microphone."""

STATUS: dict[type[SerError], int] = {NotLiveError: 404, TooMuchError: 429, BusyError: 503}
"""Of errors; 422 for all others. What has 429 or 503 is worth another try."""

Handler = Callable[[Request], Awaitable[Response]]


class LiveRoutes:
    """The routes; each method answers one request."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def routes(self) -> list[Route]:
        """Return them for the server."""
        one = f"{STREAMS}/{{number}}"
        return [
            Route(STREAMS, _guarded(self.begin), methods=["POST"]),
            Route(one, _guarded(self.take), methods=["POST"]),
            Route(one, _guarded(self.leave), methods=["DELETE"]),
        ]

    async def begin(self, web: Request) -> Response:
        """A microphone was switched on: return the number of its stream."""
        request, rate = request_of(web), _whole(web, "rate")
        if not RATES[0] <= rate <= RATES[1]:
            raise SerError(f"The sound has {rate} Hz; {RATES[0]} to {RATES[1]} Hz are taken. Use another microphone.")
        charge(self.services, request, "recognitions")
        number = self.services.live.open(owner_of(request), rate, self.services.recognizer.live)
        return JSONResponse({"number": number})

    async def take(self, web: Request) -> Response:
        """The next block of sound: take it, and answer what has come so far.

        The query has `at`, the number of its first sample, and `drawn`, the regions that the page has already.
        """
        request, at, drawn = request_of(web), _whole(web, "at"), _whole(web, "drawn")
        live = self.services.live.get(web.path_params["number"], owner_of(request))
        body = await web.body()
        if len(body) > LARGEST or len(body) % 2:
            raise SerError(f"A block of sound has {len(body)} bytes; expected an even number, at most {LARGEST}.")
        samples = np.frombuffer(body, "<i2")
        self._charge(request, live, at + len(samples))
        try:
            await asyncio.to_thread(live.take, at, samples)
        except MissingSoundError:
            said = f"The block begins at sample {at}, and {live.received} have come. Send the ones between."
            return PlainTextResponse(said, 409)
        state: dict[str, object] = {"have": live.received}
        answering = asyncio.wrap_future(live.answer())
        done, _ = await asyncio.wait([answering], timeout=PATIENCE)
        if done:
            labels = self.services.labels
            state |= live_state(answering.result(), labels.scores, label_texts(labels, request), drawn)
        return JSONResponse(state)

    async def leave(self, web: Request) -> Response:
        """The page has gone, or nothing was recorded."""
        self.services.live.end(web.path_params["number"], owner_of(request_of(web)))
        return Response(status_code=204)

    def _charge(self, request: gr.Request, live: LiveStream, samples: int) -> None:
        """Count each minute as a recognition, and take no more than a recording may last."""
        after = max(live.received, samples) / live.rate
        if after > MAX_TIMELINE_DURATION:
            raise SerError(f"{clock(MAX_TIMELINE_DURATION, tenths=False)} are full: the recording has ended.")
        if after // 60 > live.seconds // 60:
            charge(self.services, request, "recognitions")


def _whole(web: Request, name: str) -> int:
    given = web.query_params.get(name, "")
    if not given.isdecimal() or len(given) > 12:
        raise SerError(f"'{name}' is '{given[:20]}'; expected a whole number.")
    return int(given)


def _guarded(handler: Handler) -> Handler:
    """Let nobody in whom the login list leaves out, and answer an error with its sentence."""

    async def guarded(web: Request) -> Response:
        if web.scope["app"].auth is not None and request_of(web).username is None:
            return PlainTextResponse("Your login has ended: load the page again.", 401)
        try:
            return await handler(web)
        except SerError as error:
            status = next((number for kind, number in STATUS.items() if isinstance(error, kind)), 422)
            return PlainTextResponse(sentence(error), status)
        except Exception as error:  # A mistake of the program: the log says more.
            return PlainTextResponse(sentence(error), 500)

    return guarded
