"""Finds talk of self-harm, violence or abuse in what is said, by plain phrases and by nearness in meaning.

It errs on the side of care: a false alarm costs a reply, a missed call for help may cost more.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file

from ser.conversation.model.dialogue import TurnEncoder
from ser.errors import ModelUnavailableError

WEIGHTS_FILE = Path(__file__).resolve().parent / "guard.safetensors"

KINDS = ("self-harm", "violence", "abuse")

SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")

PLAIN = {
    "self-harm": (
        r"suicid\w*",
        r"(kill|hang|drown|shoot|harm|hurt|cut)(s|ing|ting|ed)? (myself|herself|himself|themsel(f|ves))",
        r"(end|ending|take|taking|took) (my|her|his|their)( own)? li(fe|ves)",
        r"(want|wish|going|rather|ready|hope)( \w+){0,3} (to die|to be dead|be dead|(was|were) dead)",
        r"(don't|do not|never|not) want to (live|be alive|exist|wake up)",
        r"self[- ]?harm\w*",
        r"(slit|cut|cutting|slitting) (my|her|his) (wrists?|arms?|legs?|skin|veins?)",
        r"overdos\w+",
        r"(better off|happier|better place) (without me|if i (was|were) (gone|dead|not))",
        r"自杀|不想活|想死|活不下去|割腕|轻生|结束(我的|自己的)?生命|自残|自傷|自殺|不想活了",
    ),
    "violence": (
        r"(going to|gonna|will|want to|i'll|'ll) (kill|murder|stab|strangle|shoot|massacre) "
        r"(him|her|them|you|us|me|everyone|everybody|people|my \w+|all of)(?! if| when| for (being|that))",
        r"(stabbed|strangled|murdered|raped|choked) (me|him|her|us|them|my \w+)",
        r"(held|pulled|put|threatened|attacked)( \w+){0,3} (a|with a|at) (gun|knife|weapon|machete|pistol)",
        r"(bringing|bring|took|take) a (gun|knife|bomb) to (school|work)",
        r"(build|building|made|plant|planting) a bomb",
        r"beat(s|ing|en)? (him|her|them|me|us) (up|to death)",
        r"at (gun|knife)point",
        r"杀(了|死)(他|她|你|我|他们)|捅死|砍死|要杀|拿刀|打死",
    ),
    "abuse": (
        r"(rape[ds]?|raping|molest\w*|grope[ds]?)",
        r"(sexual(ly)?) (abus|assault|harass)\w*",
        r"(husband|wife|father|dad|mother|mum|mom|boyfriend|girlfriend|partner|uncle|stepfather|stepdad|stepmother|ex"
        r"|brother|boss|coach|teacher|carer) (\w+ )?(hits?|beats?|beat|slaps?|kicks?|punche[sd]|chokes?|burns?|abuse[sd]?|"
        r"strangle[sd]?|rape[sd]?) (me|us|him|her|them|my \w+)",
        r"(been|was|were|am|is|being) (physically |sexually |emotionally )?abused",
        r"force[sd]? (me|her|him|himself|herself) (to have sex|into sex|on me|to undress)",
        r"家暴|强奸|强暴|性侵|猥亵|虐待|(老公|丈夫|爸爸|父亲|男朋友|妈妈)(又)?打我",
    ),
}
"""Phrases that leave little doubt, as regular expressions on lower case."""

_PATTERNS = {
    kind: re.compile("|".join(rf"(?:\b(?:{one})\b)" if one.isascii() else f"(?:{one})" for one in patterns))
    for kind, patterns in PLAIN.items()
}


@dataclass(frozen=True)
class Alarm:
    """What was found.

    Attributes:
        kind: one of `KINDS`.
        phrase: the sentence that it was found in.
        probability: of the classifier, 0..1; 1 for a plain phrase.
    """

    kind: str
    phrase: str
    probability: float


class Guard:
    """Reads what is said for talk of self-harm, violence or abuse; safe to call from several threads.

    Args:
        weights: of the linear classifier on sentence vectors: `weight` (kinds, width), `bias` and `threshold`.

    Raises:
        ModelUnavailableError: if the sentence encoder is absent or damaged.
    """

    def __init__(self, weights: dict[str, npt.NDArray[np.float32]]) -> None:
        self._encoder = TurnEncoder()
        self._weight, self._bias = weights["weight"], weights["bias"]
        self.threshold = float(weights["threshold"][0])

    def check(self, words: str) -> Alarm | None:
        """Find the sentence that sounds most like a call for care; None if none does."""
        found = [alarm for part in split_sentences(words) if (alarm := self._check(part)) is not None]
        return max(found, key=lambda alarm: alarm.probability, default=None)

    def _check(self, sentence: str) -> Alarm | None:
        plain = find_plain(sentence)
        if plain is not None:
            return Alarm(plain, sentence, 1.0)
        chances = self.probabilities(sentence)
        kind = int(chances.argmax())
        return Alarm(KINDS[kind], sentence, float(chances[kind])) if chances[kind] > self.threshold else None

    def probabilities(self, sentence: str) -> npt.NDArray[np.float64]:
        """Probability of each of `KINDS`, each against everything else."""
        logits = self._weight @ embed(self._encoder, sentence) + self._bias
        return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))))


def embed(encoder: TurnEncoder, sentence: str) -> npt.NDArray[np.float32]:
    """The unit vector of a sentence."""
    tokens = encoder.tokenizer.tokenize([" ".join(sentence.split())])
    vector = encoder.encode(encoder.tokenizer.row(tokens, [0]))[0]
    return vector / np.linalg.norm(vector)


def find_plain(sentence: str) -> str | None:
    """The kind of a phrase that leaves little doubt; None if there is none.

    >>> find_plain("I don’t want to live any more."), find_plain("This exam is killing me.")
    ('self-harm', None)
    """
    said = sentence.lower().replace("’", "'")
    return next((kind for kind, pattern in _PATTERNS.items() if pattern.search(said)), None)


def split_sentences(words: str) -> list[str]:
    """Cut what is said into sentences, and add the whole if there are several: some are plain only together.

    >>> split_sentences("It is fine. Really!")
    ['It is fine.', 'Really!', 'It is fine. Really!']
    """
    parts = [part.strip() for part in SENTENCE.findall(words) if any(letter.isalpha() for letter in part)]
    return [*parts, " ".join(parts)] if len(parts) > 1 else parts


@lru_cache(maxsize=1)
def load_guard() -> Guard:
    """Load the guard, once.

    Raises:
        ModelUnavailableError: if its weights or the sentence encoder are absent.
    """
    try:
        return Guard(load_file(WEIGHTS_FILE))
    except (OSError, KeyError) as error:
        raise ModelUnavailableError(f"{WEIGHTS_FILE} cannot be read ({error}). Reinstall the program.") from error
