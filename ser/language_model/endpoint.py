"""Language models behind an endpoint, by huggingface_hub's client: servers of chat completions, inference providers.

What is asked leaves this machine if the endpoint is elsewhere; no token is sent that wasn't given for it.
"""

import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urldefrag, urlsplit

import httpx2
from huggingface_hub import InferenceClient, get_session
from huggingface_hub.errors import HfHubHTTPError

from ser.errors import LanguageModelError
from ser.language_model.client import Message, Reply, Usage, normalize, within

ERRORS = (OSError, httpx2.HTTPError, ValueError, LookupError, TypeError, AttributeError)
"""Errors of the client: no connection, a refusal, an answer in another form."""

PROVIDERS = "inference:"
NO_TOKEN = "none"
"""Sent in place of a token: without one the client would send the one of the Hub to whatever address is named."""

TOP_TOKENS = 20
"""Most likely first tokens that are asked for; servers allow no more."""

MAX_TOKENS = 120
"""Longest answer with percentages."""

REFUSALS = (400, 422, 501)
"""Statuses of servers that do not know an option, here the probabilities of tokens."""


class EndpointLanguageModel:
    """A `LanguageModel` behind an endpoint; safe to call from several threads.

    Args:
        name: `http://...` or `https://...`, with `#MODEL` if it serves several; or `inference:MODEL`.
        token: of the endpoint; for `inference:` the Hub's own is the default.
    """

    def __init__(self, name: str, token: str | None = None) -> None:
        self.name, self._token = name, token
        address, model = urldefrag(name)
        self._address = None if name.startswith(PROVIDERS) else address
        self._model = name.removeprefix(PROVIDERS) if self._address is None else model or None
        self._tells_tokens = True

    def choose(
        self, messages: Sequence[Message], choices: Sequence[str], *, seconds: float, percentages: str = ""
    ) -> tuple[Mapping[str, float], Usage]:
        """Compare the probabilities of the first token, or ask for percentages where the server does not tell them.

        Source: verbalised probabilities, Tian et al. 2023, https://arxiv.org/abs/2305.14975
        """
        started = time.perf_counter()
        question = f"{messages[-1].text}\n{percentages}".strip()
        again = [*messages[:-1], Message(messages[-1].role, question)]
        (found,) = within(seconds, self.name, lambda stop: iter([self._choose(messages, again, choices, seconds)]))
        shares, usage = found
        return shares, Usage(usage.prompt_tokens, usage.answer_tokens, time.perf_counter() - started)

    def _choose(
        self, messages: Sequence[Message], again: Sequence[Message], choices: Sequence[str], seconds: float
    ) -> tuple[Mapping[str, float], Usage]:
        spent = Usage()
        if self._tells_tokens:
            options = {"max_tokens": 1, "temperature": 0.0, "logprobs": True, "top_logprobs": TOP_TOKENS}
            answer = self._ask(messages, seconds, refusals=REFUSALS, **options)
            spent += _usage(answer)
            told = answer and getattr(answer.choices[0], "logprobs", None)
            if told and told.content:
                first = {str(top.token): float(top.logprob) for top in told.content[0].top_logprobs}
                return self._shares_by_token(first, choices), spent
            self._tells_tokens = False
        answer = self._ask(again, seconds, max_tokens=MAX_TOKENS, temperature=0.0)
        text = str(answer.choices[0].message.content or "")
        return self._shares_by_percentages(text, choices), spent + _usage(answer)

    def _shares_by_token(self, tokens: Mapping[str, float], choices: Sequence[str]) -> Mapping[str, float]:
        """Probabilities of choices by tokens that begin exactly one of them."""
        sums = dict.fromkeys(choices, 0.0)
        for token, log in tokens.items():
            word = token.strip().lower()
            begun = [choice for choice in choices if word and choice.lower().startswith(word)]
            if len(begun) == 1:
                sums[begun[0]] += math.exp(log)
        if not any(sums.values()):
            raise self._odd(", ".join(list(tokens)[:3]), choices)
        return normalize({choice: math.log(share) if share else -math.inf for choice, share in sums.items()})

    def _shares_by_percentages(self, text: str, choices: Sequence[str]) -> Mapping[str, float]:
        """Probabilities of choices by an object of percentages, or by the only choice that the text names."""
        found = re.search(r"\{[^{}]*\}", text)
        try:
            given = {str(name).lower(): float(value) for name, value in json.loads(found[0]).items()} if found else {}
        except (ValueError, TypeError):
            given = {}
        shares = {choice: max(0.0, given.get(choice.lower(), 0.0)) for choice in choices}
        if not any(shares.values()):
            named = [choice for choice in choices if re.search(rf"\b{re.escape(choice)}\b", text, re.IGNORECASE)]
            if len(named) != 1:
                raise self._odd(text, choices)
            shares[named[0]] = 1.0
        return {choice: share / math.fsum(shares.values()) for choice, share in shares.items()}

    def _odd(self, text: str, choices: Sequence[str]) -> LanguageModelError:
        said = f"'{text[:80]}'" if text.strip() else "nothing"
        return LanguageModelError(
            f"The language model '{self.name}' answered {said}; one of {', '.join(choices)} was asked for. "
            "Take another model."
        )

    def stream(self, messages: Sequence[Message], *, max_tokens: int = 200, seconds: float = 30.0) -> Reply:
        """Write free text as the endpoint streams it."""
        return Reply(within(seconds, self.name, lambda stop: self._write(messages, max_tokens, seconds, stop)))

    def _write(
        self, messages: Sequence[Message], max_tokens: int, seconds: float, stop: threading.Event
    ) -> Iterator[str | Usage]:
        try:
            with self._client(seconds) as client:
                parts = client.chat_completion(
                    _plain(messages),
                    model=self._model,
                    max_tokens=max_tokens,
                    stream=True,
                    stream_options={"include_usage": True},
                )
                for part in parts:
                    if stop.is_set():
                        return
                    if part.choices and (text := part.choices[0].delta.content):
                        yield text
                    if getattr(part, "usage", None):
                        yield _usage(part)
        except ERRORS as error:
            raise self._unreachable(error) from error

    def _ask(self, messages: Sequence[Message], seconds: float, refusals: Sequence[int] = (), **options: Any) -> Any:
        """Ask for an answer in one piece; None if the server refuses with one of some statuses."""
        try:
            with self._client(seconds) as client:
                answer = client.chat_completion(_plain(messages), model=self._model, **options)
                if not answer.choices:
                    raise ValueError("it has no choices")
                return answer
        except ERRORS as error:
            if isinstance(error, HfHubHTTPError) and error.response.status_code in refusals:
                return None
            raise self._unreachable(error) from error

    def _client(self, seconds: float) -> InferenceClient:
        """Make a client of its own for each request: a stream stays open as long as its client."""
        if self._address is None:
            return InferenceClient(token=self._token, timeout=seconds)
        _reach(str(urlsplit(self._address).hostname))
        return InferenceClient(base_url=self._address, token=self._token or NO_TOKEN, timeout=seconds)

    def _unreachable(self, error: Exception) -> LanguageModelError:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        return LanguageModelError(f"The language model '{self.name}' gave no answer: {reason}")


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.text} for message in messages]


def _usage(answer: Any) -> Usage:
    told = getattr(answer, "usage", None)
    return Usage(int(told.prompt_tokens or 0), int(told.completion_tokens or 0)) if told else Usage()


class _Passing:
    """A hook of requests that leaves some hosts alone.

    The hub's client refuses every request while the hub is out of reach; a server on this machine is none of it.
    """

    def __init__(self, hook: Callable[[Any], None]) -> None:
        self.hook = hook
        self.hosts: set[str] = set()

    def __call__(self, request: Any) -> None:
        if request.url.host not in self.hosts:
            self.hook(request)


def _reach(host: str) -> None:
    """Let the hub's client ask a host that is not the hub's, with or without a connection to the hub."""
    session = get_session()
    hooks = session.event_hooks
    passing = [hook if isinstance(hook, _Passing) else _Passing(hook) for hook in hooks["request"]]
    for hook in passing:
        hook.hosts.add(host)
    if passing != hooks["request"]:
        session.event_hooks = {**hooks, "request": passing}
