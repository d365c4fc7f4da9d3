"""Causal language models of transformers, in a folder or from the hub. Imports torch and transformers.

No code that comes with a checkpoint is run, and only weights in safetensors are loaded.
"""

import inspect
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    StoppingCriteria,
    StoppingCriteriaList,
    TextIteratorStreamer,
)

from ser.checkpoints.pretrained import load_language_network
from ser.errors import LanguageModelError, ModelUnavailableError
from ser.language_model.client import Message, Reply, Usage, normalize, within

NAMES = {"system": "Instructions", "user": "Question", "assistant": "Answer"}
"""Names of the roles for models without a chat template."""


class CheckpointLanguageModel:
    """A `LanguageModel` of a checkpoint; safe to call from several threads.

    Args:
        name: a folder, or an id on the hub.
        device: `cpu` or `cuda`.

    Raises:
        ModelUnavailableError: if it is absent, damaged, wants code of its own to be run, or predicts no next word.
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        self.name = name
        self._network, self._tokenizer = load_language_network(
            AutoModelForCausalLM, name, device, "a causal language model"
        )
        if self._tokenizer.mask_token is not None or self._network.config.is_encoder_decoder:
            raise ModelUnavailableError(f"'{name}' fills in masks or translates; a causal language model is expected.")

        # Renamed in transformers 5.24; the old name ends with 5.40.
        known = inspect.signature(self._network.forward).parameters
        self._cache_name = "cache" if "cache" in known else "past_key_values"

    def choose(
        self, messages: Sequence[Message], choices: Sequence[str], *, seconds: float, percentages: str = ""
    ) -> tuple[Mapping[str, float], Usage]:
        """Compare the probabilities of the choices as the next words, all tokens of each."""
        started = time.perf_counter()
        (found,) = within(seconds, self.name, lambda stop: iter([self._choose(messages, choices)]))
        logs, tokens = found
        return normalize(logs), Usage(tokens, 0, time.perf_counter() - started)

    def _choose(self, messages: Sequence[Message], choices: Sequence[str]) -> tuple[dict[str, float], int]:
        prompt, space = self._prompt(messages)
        rows = [self._ids(prompt + space + choice) for choice in choices]
        # Where a choice begins depends on the tokenizer: the prompt's last token may grow into it.
        shared = min(self._shared(rows), len(self._ids(prompt)))
        self._check_length(max(map(len, rows)))
        with torch.inference_mode():
            cache = DynamicCache(config=self._network.config)
            kept = {self._cache_name: cache, "use_cache": True}
            ids = torch.tensor([rows[0][:shared]], device=self._network.device)
            start = self._network(ids, **kept).logits[:, -1:]
            cache.batch_repeat_interleave(len(rows))
            rests = [row[shared:] for row in rows]
            width = max(map(len, rests))
            ids = torch.tensor([[*rest, *[0] * (width - len(rest))] for rest in rests], device=self._network.device)
            # What is padded comes last, where no token before it attends to it.
            after = self._network(ids, **kept).logits
            logits = torch.cat([start.expand(len(rows), -1, -1), after[:, :-1]], 1)
            steps = logits.float().log_softmax(2).gather(2, ids[:, :, None]).squeeze(2).cpu()
        logs = [float(row[: len(rest)].sum()) for row, rest in zip(steps, rests, strict=True)]
        return dict(zip(choices, logs, strict=True)), shared + sum(map(len, rests))

    def stream(self, messages: Sequence[Message], *, max_tokens: int = 200, seconds: float = 30.0) -> Reply:
        """Write free text by drawing words."""
        return Reply(within(seconds, self.name, lambda stop: self._write(messages, max_tokens, stop)))

    def _write(self, messages: Sequence[Message], max_tokens: int, stop: threading.Event) -> Iterator[str | Usage]:
        prompt, _ = self._prompt(messages)
        ids = self._ids(prompt)
        self._check_length(len(ids) + max_tokens)
        streamer = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        outcome: list[Any] = []

        def generate() -> None:
            try:
                rows = torch.tensor([ids], device=self._network.device)
                outcome.append(
                    self._network.generate(
                        rows,
                        attention_mask=torch.ones_like(rows),
                        max_new_tokens=max_tokens,
                        do_sample=True,
                        pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id or 0,
                        streamer=streamer,
                        stopping_criteria=StoppingCriteriaList([_Abandoned(stop)]),
                    )
                )
            except BaseException as error:  # raised again below
                outcome.append(error)
                streamer.end()

        threading.Thread(target=generate, name="language model, writing", daemon=True).start()
        yield from streamer
        while not outcome:
            time.sleep(0.001)
        if isinstance(outcome[0], BaseException):
            raise LanguageModelError(f"The language model '{self.name}' failed: {outcome[0]}") from outcome[0]
        yield Usage(len(ids), outcome[0].shape[1] - len(ids))

    def _prompt(self, messages: Sequence[Message]) -> tuple[str, str]:
        """The conversation as one text, and what stands between it and the answer."""
        if self._tokenizer.chat_template:
            turns = [{"role": message.role, "content": message.text} for message in messages]
            return self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True), ""
        lines = [f"{NAMES[message.role]}: {message.text}" for message in messages]
        return "\n\n".join([*lines, f"{NAMES['assistant']}:"]), " "

    def _ids(self, text: str) -> list[int]:
        # A template writes the tokens that begin a text itself.
        ids: list[int] = self._tokenizer(text, add_special_tokens=not self._tokenizer.chat_template)["input_ids"]
        return ids

    def _shared(self, rows: Sequence[Sequence[int]]) -> int:
        """Tokens that all rows begin with, and which leave at least one to each."""
        for place, tokens in enumerate(zip(*rows, strict=False)):
            if len(set(tokens)) > 1:
                return place
        return min(map(len, rows)) - 1

    def _check_length(self, tokens: int) -> None:
        longest = getattr(self._network.config, "max_position_embeddings", None)
        if longest is not None and tokens > longest:
            raise LanguageModelError(
                f"The language model '{self.name}' reads {longest} tokens; prompt and answer may have {tokens}. Take "
                "fewer examples or turns, or another model."
            )


class _Abandoned(StoppingCriteria):
    """Stops the writing of a text that nobody waits for any more."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """Stop every row or none."""
        return torch.full((input_ids.shape[0],), self._stop.is_set(), device=input_ids.device)
