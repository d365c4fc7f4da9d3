"""A language model's opinion on the emotion of words, given the turns before them and answered examples.

Knows no store: the caller gives examples from votes.
"""

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ser.errors import LanguageModelError
from ser.labels import EMOTIONS
from ser.language_model.client import LanguageModel, Message, Usage, normalize, read_prompt
from ser.types import EmotionScores

PROMPT = Path(__file__).with_name("emotion_prompt.txt")

TURNS = 6
"""Turns before that are shown, the latest."""

LONGEST_TURN = 400
"""Characters of the words of a turn or an example that are shown."""

DIGITS = 4

LEAST = 1e-6
"""Probability that a label counts as having at least where a prompt without words is answered."""


@dataclass(frozen=True)
class Turn:
    """Words that were said before; `speaker` names who said them, or is empty."""

    text: str
    speaker: str = ""


@dataclass(frozen=True)
class AnsweredText:
    """An example: words, and the emotion that people found in them."""

    text: str
    label: str


Examples = Callable[[], Sequence[AnsweredText]]


@dataclass(frozen=True)
class Opinion:
    """A language model's answer.

    Attributes:
        scores: over the seven emotions.
        model: its name.
        usage: tokens and seconds.
        examples: answered texts that it was shown.
        turns: said before that it was shown.
        weight: its share in the answer, 0..1.
    """

    scores: EmotionScores
    model: str
    usage: Usage
    examples: int = 0
    turns: int = 0
    weight: float = 0.0

    @property
    def note(self) -> str:
        """Answer, share and cost as a sentence for people.

        >>> Opinion(EmotionScores((1.0, 0, 0, 0, 0, 0, 0)), "tiny", Usage(210, 1, 1.26), examples=4).note
        'The language model says anger 100 %, weight 0 %: 211 tokens in 1.3 s.'
        """
        tokens = self.usage.prompt_tokens + self.usage.answer_tokens
        return (
            f"The language model says {self.scores.label} {self.scores.confidence * 100:.0f} %, weight "
            f"{self.weight * 100:.0f} %: {tokens} tokens in {self.usage.seconds:.1f} s."
        )

    def as_dict(self) -> dict[str, object]:
        """Plain values: `label, scores, weight, model, examples, turns, prompt_tokens, answer_tokens, seconds`."""
        return {
            "label": self.scores.label,
            "scores": {label: round(share, DIGITS) for label, share in self.scores.as_dict().items()},
            "weight": round(self.weight, DIGITS),
            "model": self.model,
            "examples": self.examples,
            "turns": self.turns,
            "prompt_tokens": self.usage.prompt_tokens,
            "answer_tokens": self.usage.answer_tokens,
            "seconds": round(self.usage.seconds, DIGITS),
        }


class SecondOpinion:
    """Asks a language model which emotion words express; safe to call from several threads.

    Args:
        model: to be asked.
        examples: answered texts that the prompt begins with; called at each question.
        seconds: time limit of an answer.
    """

    def __init__(self, model: LanguageModel, examples: Examples = lambda: (), *, seconds: float = 20.0) -> None:
        self.model, self.examples, self.seconds = model, examples, seconds
        self.name = model.name
        self._usual: dict[tuple[AnsweredText, ...], Mapping[str, float]] = {}
        self._lock = threading.Lock()

    def ask(self, text: str, turns: Sequence[Turn] = ()) -> tuple[Opinion | None, str | None]:
        """Read words; where there is no answer, say in a sentence why."""
        try:
            return self.read(text, turns), None
        except LanguageModelError as error:
            return None, str(error)

    def read(self, text: str, turns: Sequence[Turn] = ()) -> Opinion:
        """Read words.

        The probabilities are divided by those of a prompt without words, so that a model's liking for a label counts
        for nothing.

        Source: Zhao et al. 2021, "Calibrate Before Use", https://arxiv.org/abs/2102.09690

        Args:
            text: what was said.
            turns: said before, the latest last.

        Raises:
            LanguageModelError: if the model is late, out of reach, or answers something else.
        """
        examples = tuple(example for example in self.examples() if example.text != text)
        usual, spent = self._usual_answer(examples)
        shown = list(turns)[-TURNS:]
        shares, usage = self._ask(examples, text, shown)
        logs = {label: math.log(max(shares[label], LEAST)) - math.log(max(usual[label], LEAST)) for label in EMOTIONS}
        return Opinion(EmotionScores.from_dict(normalize(logs)), self.name, usage + spent, len(examples), len(shown))

    def _usual_answer(self, examples: tuple[AnsweredText, ...]) -> tuple[Mapping[str, float], Usage]:
        """The answer to a prompt without words, asked once for the same examples."""
        with self._lock:
            known = self._usual.get(examples)
        if known is not None:
            return known, Usage()
        shares, usage = self._ask(examples, read_prompt(PROMPT)["no words"], ())
        with self._lock:
            self._usual = {examples: shares}
        return shares, usage

    def _ask(
        self, examples: Sequence[AnsweredText], text: str, turns: Sequence[Turn]
    ) -> tuple[Mapping[str, float], Usage]:
        return self.model.choose(
            build_prompt(text, turns, examples),
            EMOTIONS,
            seconds=self.seconds,
            percentages=read_prompt(PROMPT)["percentages"].format(labels=", ".join(EMOTIONS)),
        )


class Reading:
    """A row of texts that a language model is asked about; after a failure no more, as each costs a time limit.

    Args:
        opinion: asks.

    Attributes:
        answered: texts so far.
        tokens: that they took.
        trouble: why no more are asked about, as a sentence in a list; empty if nothing went wrong.
    """

    def __init__(self, opinion: SecondOpinion) -> None:
        self._opinion = opinion
        self.answered, self.tokens, self.trouble = 0, 0, list[str]()

    def ask(self, text: str, turns: Sequence[Turn]) -> Opinion | None:
        """Read words, given the turns before them; None if there is no answer."""
        if self.trouble:
            return None
        found, trouble = self._opinion.ask(text, turns)
        self.trouble += [trouble] if trouble else []
        if found is not None:
            self.answered += 1
            self.tokens += found.usage.prompt_tokens + found.usage.answer_tokens
        return found


def build_prompt(text: str, turns: Sequence[Turn] = (), examples: Sequence[AnsweredText] = ()) -> list[Message]:
    """Fill in the prompt.

    >>> [message.role for message in build_prompt("oh no", [Turn("It broke.")], [AnsweredText("great", "happiness")])]
    ['system', 'user', 'assistant', 'user']
    """
    parts, labels = read_prompt(PROMPT), ", ".join(EMOTIONS)
    messages = [Message("system", parts["instructions"].format(labels=labels))]
    for example in examples:
        messages.append(Message("user", parts["question"].format(text=_words(example.text), labels=labels)))
        messages.append(Message("assistant", example.label))
    question = parts["question"].format(text=_words(text), labels=labels)
    if turns:
        lines = [parts["turn"].format(speaker=turn.speaker or "Somebody", text=_words(turn.text)) for turn in turns]
        question = f"{parts['turns'].format(turns=chr(10).join(lines))}\n{question}"
    return [*messages, Message("user", question)]


def _words(text: str) -> str:
    """Words in one line without the marks that frame them."""
    return " ".join(text.replace('"', "'").split())[:LONGEST_TURN]
