"""Builds a conversation from turns: each turn's feeling given those before it, its causes, and chains of them.

Knows the models by their protocols only, but for the dialogue model. Says nothing of who a person is: no diagnosis, no
score of a person.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ser.conversation.model.dialogue import DialogueModel
from ser.conversation.turns import Turn
from ser.errors import SettingsError
from ser.explanation.occlusion import leave_each_out
from ser.fusion.remarks import abstention, find_doubt
from ser.fusion.rule import FusionRule, fuse
from ser.labels import EMOTIONS
from ser.language_model.opinion import Reading, SecondOpinion
from ser.language_model.opinion import Turn as SaidTurn
from ser.protocols import TextModel
from ser.serialization import DIGITS, scores_to_dict
from ser.types import EmotionScores, Segment, Transcript

NEUTRAL = "neutral"

MIN_READABLE = 0.6
"""Share of a turn's letters that are ASCII's below which the words are in a script that the models do not read."""

ALONE_WEIGHT = 0.1
"""Share of the words alone in what words say in context, chosen on held-out dialogues by macro-F1 and accuracy: 0.528
and 72.1 %, against 0.533 and 70.9 % without the words alone and 0.475 and 71.2 % with a share of 0.4. On test
dialogues 0.485 and 69.7 %, 0.489 and 68.0 %, 0.472 and 71.6 %: the larger share makes rare feelings rarer."""

ANOTHER_SCRIPT = "{count} turns are in a script that the text models do not read: only the voice counts there."
WORDLESS = "{count} turns have neither readable words nor a voice: they have no answer."
ENGLISH = "The words are read as English; in another language the answers mean little."
ONE_SPEAKER = "Only one speaker is told apart here: who answers whom is not known."


@dataclass(frozen=True)
class FeltTurn:
    """A turn with what is recognised in it.

    Attributes:
        turn: as it was given.
        words: the feeling by its words alone; None if they cannot be read.
        context: the feeling by its words given the turns before, words alone included; None likewise.
        feeling: of voice and words in context together; None if there is neither.
        unsure: why the feeling should not be relied on, as a sentence; None if nothing speaks against it.
        opinion: of a language model on the words, given the turns before; None if none was asked, or it said nothing.
    """

    turn: Turn
    words: EmotionScores | None
    context: EmotionScores | None
    feeling: EmotionScores | None
    unsure: str | None
    opinion: EmotionScores | None = None

    @property
    def label(self) -> str | None:
        """The most probable feeling."""
        return None if self.feeling is None else self.feeling.label

    @property
    def felt(self) -> bool:
        """True if the most probable feeling is another than neutral."""
        return self.label not in (None, NEUTRAL)


@dataclass(frozen=True)
class Cause:
    """A turn that may have caused the feeling of another, or of itself.

    Attributes:
        turn: whose feeling it is, counted from 0.
        source: the turn that may have caused it.
        probability: 0..1.
    """

    turn: int
    source: int
    probability: float


@dataclass(frozen=True)
class Chain:
    """A cause, the feeling, and the next turn of somebody else, which answers it; None if nobody does."""

    cause: int
    turn: int
    response: int | None


@dataclass(frozen=True, eq=False)
class Conversation:
    """Turns with their feelings and causes.

    Attributes:
        turns: in order.
        causes: of turns of feeling, those above the threshold; by turn, the most probable first.
        threshold: probability from which a turn counts as a cause.
        notes: what a person should know, as sentences.
        models: names of the parts.
    """

    turns: tuple[FeltTurn, ...]
    causes: tuple[Cause, ...]
    threshold: float
    notes: tuple[str, ...]
    models: dict[str, str]

    @property
    def speakers(self) -> list[str]:
        """Speakers in order of their first words."""
        return list(dict.fromkeys(one.turn.speaker for one in self.turns))

    @property
    def chains(self) -> list[Chain]:
        """Chains of cause, feeling and response: one for each turn whose feeling another turn caused, in order."""
        found = []
        for place in range(len(self.turns)):
            cause = next((c.source for c in self.causes if c.turn == place and c.source != place), None)
            if cause is not None:
                found.append(Chain(cause, place, self.response_to(place)))
        return found

    def causes_of(self, turn: int) -> list[Cause]:
        """The causes of a turn's feeling, the most probable first."""
        return [cause for cause in self.causes if cause.turn == turn]

    def response_to(self, turn: int) -> int | None:
        """The next turn of another speaker."""
        speaker = self.turns[turn].turn.speaker
        later = range(turn + 1, len(self.turns))
        return next((place for place in later if self.turns[place].turn.speaker != speaker), None)

    def shares(self, speaker: str) -> dict[str, float]:
        """Share of a speaker's turns by feeling, sum 1, without feelings that are not there."""
        labels = [one.label for one in self.turns if one.turn.speaker == speaker and one.label is not None]
        return {label: labels.count(label) / len(labels) for label in EMOTIONS if label in labels}

    def changes(self) -> Iterator[tuple[int, int]]:
        """Turns of one speaker in a row whose feelings differ, as places, neither of them unsure."""
        latest: dict[str, int] = {}
        for place, one in enumerate(self.turns):
            if one.label is None or one.unsure:
                continue
            before = latest.get(one.turn.speaker)
            if before is not None and self.turns[before].label != one.label:
                yield before, place
            latest[one.turn.speaker] = place

    def as_dict(self, file: str | None = None) -> dict[str, object]:
        """Plain values for JSON: `file, speakers, turns, causes, chains, shares, notes, models`; turns count from 1."""
        return {
            "file": file,
            "speakers": self.speakers,
            "turns": [self._turn(place) for place in range(len(self.turns))],
            "causes": [
                {"turn": cause.turn + 1, "cause": cause.source + 1, "probability": round(cause.probability, DIGITS)}
                for cause in self.causes
            ],
            "chains": [
                {
                    "cause": chain.cause + 1,
                    "turn": chain.turn + 1,
                    "response": None if chain.response is None else chain.response + 1,
                }
                for chain in self.chains
            ],
            "shares": {
                speaker: {label: round(share, DIGITS) for label, share in self.shares(speaker).items()}
                for speaker in self.speakers
            },
            "notes": list(self.notes),
            "models": self.models,
        }

    def _turn(self, place: int) -> dict[str, object]:
        one = self.turns[place]
        turn = one.turn
        parts = {"voice": turn.voice, "words_alone": one.words, "words_in_context": one.context, "scores": one.feeling}
        return {
            "turn": place + 1,
            "speaker": turn.speaker,
            "start": None if turn.start is None else round(turn.start, 3),
            "end": None if turn.end is None else round(turn.end, 3),
            "words": turn.words,
            "label": one.label,
            "confidence": None if one.feeling is None else round(one.feeling.confidence, DIGITS),
            "unsure": one.unsure,
            **{name: None if scores is None else scores_to_dict(scores) for name, scores in parts.items()},
            **({"language_model": scores_to_dict(one.opinion)} if one.opinion is not None else {}),
        }


@dataclass(frozen=True)
class Readers:
    """The models that turns are read with; see `ser.recognizer.Recognizer`.

    A language model, if there is one, reads each turn's words with those of the turns before.
    """

    dialogue: DialogueModel
    text: TextModel | None
    fusion: FusionRule
    opinion: SecondOpinion | None = None


def build_conversation(turns: Sequence[Turn], readers: Readers, notes: Sequence[str] = ()) -> Conversation:
    """Read turns in order: the feeling of each given those before it, and what may have caused it.

    Args:
        turns: in order.
        readers: the models.
        notes: of where the turns come from.
    """
    readable = [is_readable(turn.words) for turn in turns]
    # What cannot be read keeps its place, so that distances between turns stay what they are.
    texts = [turn.words if read else "" for turn, read in zip(turns, readable, strict=True)]
    reading = readers.dialogue.read(texts, [turn.speaker for turn in turns])
    contexts = [_scores(row) if read else None for row, read in zip(reading.feelings, readable, strict=True)]
    felt = [_feel(turn, context, readers) for turn, context in zip(turns, contexts, strict=True)]
    felt, remarks = _add_opinions(felt, readers)
    told = reading.feelings.copy()
    for place, one in enumerate(felt):
        if one.feeling is not None:
            told[place] = one.feeling.probabilities
    chances = readers.dialogue.causes(reading, told)
    threshold = readers.dialogue.threshold
    causes = [
        Cause(place, int(source), float(chances[place, source]))
        for place, one in enumerate(felt)
        if one.felt
        for source in np.argsort(-chances[place], kind="stable")
        if chances[place, source] > threshold and felt[source].context is not None
    ]
    models = {"dialogue": readers.dialogue.name, "text": readers.text.name if readers.text else "none"}
    models |= {"language_model": readers.opinion.name} if readers.opinion else {}
    return Conversation(tuple(felt), tuple(causes), threshold, (*notes, *_notes(felt), *remarks), models)


def explain_cause(conversation: Conversation, cause: Cause, readers: Readers) -> list[tuple[str, float]]:
    """Find the words of a cause that matter: how much each raises the probability that the turn is one.

    Raises:
        SettingsError: if there is no such pair of turns.
    """
    if not 0 <= cause.source <= cause.turn < len(conversation.turns):
        raise SettingsError(
            f"Turn {cause.source + 1} cannot have caused the feeling of turn {cause.turn + 1}; expected an earlier "
            f"turn, or itself, of {len(conversation.turns)}."
        )
    known = conversation.turns[: cause.turn + 1]
    feelings = [one.feeling for one in known]
    speakers = [one.turn.speaker for one in known]
    words = known[cause.source].turn.words.split()

    def probability(left: Sequence[str]) -> float:
        texts = [one.turn.words if one.context is not None else "" for one in known]
        texts[cause.source] = " ".join(left)
        reading = readers.dialogue.read(texts, speakers)
        told = reading.feelings.copy()
        for place, feeling in enumerate(feelings):
            if feeling is not None:
                told[place] = feeling.probabilities
        return float(readers.dialogue.causes(reading, told)[cause.turn, cause.source])

    return list(zip(words, leave_each_out(words, probability), strict=True))


def is_readable(words: str) -> bool:
    """Tell words in the Latin alphabet, which the text models read, from others and from none.

    >>> is_readable("I'm fine."), is_readable("我很好"), is_readable("...")
    (True, False, False)
    """
    letters = [letter for letter in words if letter.isalpha()]
    return bool(letters) and sum(letter.isascii() for letter in letters) >= MIN_READABLE * len(letters)


def _feel(turn: Turn, context: EmotionScores | None, readers: Readers) -> FeltTurn:
    words = None if context is None or readers.text is None else readers.text.classify(turn.words)
    if context is not None and words is not None and words.labels == EMOTIONS:
        context = fuse(context, words, ALONE_WEIGHT)
    if turn.voice is None:
        feeling = context
    elif context is None:
        feeling = readers.fusion.temper_acoustic(turn.voice)
    else:
        segments = _segments(turn)
        feeling, _ = readers.fusion.join(turn.voice, context, Transcript(turn.words, "en", segments, "turn"))
    return FeltTurn(turn, words, context, feeling, None if feeling is None else find_doubt(feeling))


def _add_opinions(felt: list[FeltTurn], readers: Readers) -> tuple[list[FeltTurn], list[str]]:
    """Ask a language model about each turn's words, given the turns before."""
    if readers.opinion is None:
        return felt, []
    reading, before, answered = Reading(readers.opinion), list[SaidTurn](), list[FeltTurn]()
    for one in felt:
        words = Transcript(one.turn.words, None, _segments(one.turn), "turn")
        opinion = None if one.feeling is None or abstention(words, None) else reading.ask(words.text, before)
        if opinion is not None and one.feeling is not None:
            feeling, _ = readers.fusion.add_opinion(one.feeling, opinion.scores, words)
            one = replace(one, feeling=feeling, unsure=find_doubt(feeling), opinion=opinion.scores)
        answered.append(one)
        before.append(SaidTurn(one.turn.words, one.turn.speaker))
    said = f"A language model read {reading.answered} of {len(felt)} turns: {reading.tokens} tokens."
    return answered, [said, *reading.trouble]


def _segments(turn: Turn) -> tuple[Segment, ...]:
    """The words as one segment, so that the confidence of their recognition counts."""
    if turn.confidence is None:
        return ()
    return (Segment(turn.start or 0.0, turn.end or 1.0, turn.words, turn.confidence),)


def _scores(row: npt.NDArray[np.float64]) -> EmotionScores:
    return EmotionScores(tuple((row / row.sum()).tolist()))


def _notes(felt: Sequence[FeltTurn]) -> Iterator[str]:
    without = sum(one.feeling is None for one in felt)
    script = sum(one.context is None and bool(one.turn.words) and one.feeling is not None for one in felt)
    if script:
        yield ANOTHER_SCRIPT.format(count=script)
    if without:
        yield WORDLESS.format(count=without)
    if any(one.context is not None for one in felt):
        yield ENGLISH
    if len({one.turn.speaker for one in felt}) == 1 and len(felt) > 1:
        yield ONE_SPEAKER
