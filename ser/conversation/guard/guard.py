"""Finds talk of self-harm, violence or abuse in what is said, by plain phrases and by a trained reader.

It errs on the side of care: a false alarm costs a reply, a missed call for help may cost more.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from scipy.special import softmax

from ser.checkpoints.folder import Meta
from ser.conversation.model.dialogue import TurnEncoder
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.text.embedded import ADAPTER_PREFIX, HEAD_PREFIX, TrainedText

WEIGHTS_FILE = Path(__file__).resolve().parent / "guard.safetensors"

KINDS = ("self-harm", "violence", "abuse")

SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")

_PERSON = r"(me|him|her|us|them|you|people|everyone|everybody|my \w+|our \w+)"

_KIN = (
    r"(husband|wife|partner|boyfriend|girlfriend|fianc\w+|ex|father|dad|stepdad|stepfather|mother|mum|mom|stepmother|"
    r"uncle|aunt|grandfather|grandpa|stepbrother|boss|coach|teacher|priest|carer|nurse|man)"
)

PLAIN = {
    "self-harm": (
        r"(?<!nearly )(?<!almost )(kill|hang|drown|shoot)(ing|ed)? (myself|herself|himself|themsel\w+|yourself)"
        r"(?! (laugh|with laugh|at|on|over))",
        r"(end|ending|ended|take|taking|took) (my|her|his|their)( own)? li(fe|ves)",
        r"(want|wants|wanted) to (die|be dead)(?! (of|from|laughing))",
        r"(don't|do not|doesn't) want to (live|be alive)(?! (in|with|on|at|here|there|like|next|alone|without|by|off))",
        r"committ?(ed|ing)? suicide|(am|feel|feeling|is) suicidal",
        r"自[杀殺]|不想(再)?活|想死(?!你|我)|活(不下去|够了)|活着(真|好|没)\w*(累|意思)|割腕|轻生|自残|跳楼|跳河|上吊|遗书|"
        r"结束(我的|自己的)?(生命|这一切)|一了百了|死了(算了|大家|就)|不配活|(喝|吃)农药|伤害自己|(划|割)(自己|手臂|手腕)|"
        r"怎么死|吃多少药会死|寻死|跳下去|想消失|下辈子再见|每天都想死|死路一条|(一整瓶|很多|好多)安眠药|开了煤气|刀痕",
    ),
    "violence": (
        r"(going to|gonna|i'll|he'll|she'll|they'll|threaten\w* to|planning to|tried to) "
        rf"(kill|murder|stab|shoot|massacre) (?!me\b){_PERSON}(?! (if|when|for|with) (i|being|that|you|kindness))",
        rf"(stabbed|strangled|murdered) (?!(us|them) in the (first|second)){_PERSON}",
        r"杀(了|死|我|他|她|你)(他|她|你|我|他们|全家)|(捅|砍|掐|勒|打|弄)死(他|她|你|我|人)|要杀|泼\w{0,3}硫酸|放火烧|(剁|砍)\w{0,3}手|"
        r"(拿|带)着?(菜)?(刀|枪|斧头)(追|堵|来|指|进|砍|砸)|捅(了|人)|掐着?我|杀了老板|去杀人|打伤|满脸是血",
    ),
    "abuse": (
        r"(rape[ds]?|raping|molest\w*)",
        r"sexual(ly)? (abus|assault|harass)\w*|domestic violence",
        rf"my {_KIN} (\w+ )?(hits|beats|slaps|punches|kicks|chokes|hit|slapped|punched|kicked|choked|strangled|raped) "
        r"(me|us|her|him)(?! (on the back|up|out|at|in|to|by|with a (snowball|pillow)))",
        r"家暴|强奸|强暴|性侵|侵犯过?我|猥亵|虐待|(老公|丈夫|爸|父亲|男朋友|妈|婆婆|继父|前夫|他|她)[^,，。]{0,6}"
        r"(打|踢|掐)(完|了)?(我|孩子|奶奶)(?!电话)|用皮带抽|让我脱|绑在床|全是伤|动手动脚|(逼|强迫)我|裸照|(摸|碰)了?我?(下面|胸|大腿)|摸(我|她)(?!的?头)|锁在(家|屋|房)|"
        r"不让我(出|和家人|上班|走)|跟踪我|关起来不给|被打得",
    ),
}
"""Phrases that leave little doubt, as regular expressions on lower case: what the trained reader still misses in
sentences that it was not trained on, the plainest words of each kind, and Chinese, which the encoder cannot read."""

_FICTION = re.compile(r"\b(film|movie|game|series|novel|book|story|episode|laser tag|documentary|news|history)\b")

_PATTERNS = {
    kind: re.compile("|".join(rf"(?:\b(?:{one})\b)" if one.isascii() else f"(?:{one})" for one in patterns))
    for kind, patterns in PLAIN.items()
}


@dataclass(frozen=True)
class Alarm:
    """Finding of the guard.

    Attributes:
        kind: one of `KINDS`.
        phrase: the sentence that it was found in.
        probability: of the classifier, 0..1; 1 for a plain phrase.
        beyond_doubt: whether it is a plain phrase, or as probable as few ordinary turns ever are.
    """

    kind: str
    phrase: str
    probability: float
    beyond_doubt: bool


class Guard:
    """Reads what is said for talk of self-harm, violence or abuse; safe to call from several threads.

    Args:
        weights: an adapter of the sentence encoder, as `ser.text.embedded` names its tensors; `head.weight` and
            `head.bias` of the kinds and, last, of what is harmless; `thresholds` of an alarm and of one beyond doubt.

    Raises:
        ModelUnavailableError: if the sentence encoder is absent or damaged.
        ValueError: if the adapter does not fit it.
    """

    def __init__(self, weights: dict[str, npt.NDArray[np.float32]]) -> None:
        adapter = {name: tensor for name, tensor in weights.items() if name.startswith(ADAPTER_PREFIX)}
        rank = next(tensor.shape[0] for name, tensor in adapter.items() if name.endswith("lora_A.weight"))
        meta = Meta("guard", EMOTIONS, 1.0, {"rank": rank, "alpha": 2 * rank})
        self._encoder = TurnEncoder(TrainedText(adapter, meta))
        self._weight, self._bias = (weights[f"{HEAD_PREFIX}{part}"].astype(np.float32) for part in ("weight", "bias"))
        self.threshold, self.beyond_doubt = map(float, weights["thresholds"])

    def check(self, words: str) -> Alarm | None:
        """Find the sentence that sounds most like a call for care; None if none does."""
        found = [alarm for part in split_sentences(words) if (alarm := self._check(part)) is not None]
        return max(found, key=lambda alarm: alarm.probability, default=None)

    def _check(self, sentence: str) -> Alarm | None:
        plain = find_plain(sentence)
        if plain is not None:
            return Alarm(plain, sentence, 1.0, beyond_doubt=True)
        if not is_latin(sentence):
            return None
        kind, probability = self.classify(sentence)
        if probability <= self.threshold:
            return None
        return Alarm(kind, sentence, probability, beyond_doubt=probability > self.beyond_doubt)

    def classify(self, sentence: str) -> tuple[str, float]:
        """Estimate the kind and the probability that a sentence is a call for care of any kind."""
        tokens = self._encoder.tokenizer.tokenize([" ".join(sentence.split())])
        vector = self._encoder.encode(self._encoder.tokenizer.row(tokens, [0]))[0]
        scores = softmax(self._weight @ vector + self._bias)
        return KINDS[int(scores[: len(KINDS)].argmax())], float(1.0 - scores[-1])


def find_plain(sentence: str) -> str | None:
    """The kind of a phrase that leaves little doubt; None if there is none.

    >>> find_plain("I don’t want to live any more."), find_plain("This exam is killing me.")
    ('self-harm', None)
    """
    said = sentence.lower().replace("’", "'")
    found = next((kind for kind, pattern in _PATTERNS.items() if pattern.search(said)), None)
    return None if found == "violence" and _FICTION.search(said) else found


def is_latin(sentence: str) -> bool:
    """True if most letters are of the script that the encoder was trained on; embeddings of others mean nothing.

    >>> is_latin("Café, 8 o'clock"), is_latin("我快饿死了 OK")
    (True, False)
    """
    letters = [letter for letter in sentence if letter.isalpha()]
    return 2 * sum(letter < "\u0250" for letter in letters) > len(letters)


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
    except (OSError, KeyError, StopIteration, ValueError) as error:
        raise ModelUnavailableError(f"{WEIGHTS_FILE} cannot be read ({error}). Reinstall the program.") from error
