"""Finds talk of self-harm, violence or abuse in what is said, by plain phrases and by nearness in meaning.

It errs on the side of care: a false alarm costs a reply, a missed call for help may cost more.
"""

import math
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

GAMMA = 0.5
"""Of the kernel exp(-gamma d²) of the support vector machine, d the distance of two sentences."""

SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")

_PERSON = (
    r"(me|myself|him|himself|her|herself|us|them|themself|themselves|you|people|everyone|everybody|my \w+|our \w+)"
)

_KIN = (
    r"(husband|wife|partner|boyfriend|girlfriend|fianc\w+|ex|father|dad|stepdad|stepfather|mother|mum|mom|stepmother|"
    r"parents|uncle|aunt|grandfather|grandpa|brother|stepbrother|cousin|boss|coach|teacher|priest|carer|nurse|man|he|she|"
    r"they|somebody|someone)"
)

_HITS = (
    r"(hits?|hitting|beats?|beaten|beating|slaps?|slapped|kicks?|kicked|punch\w*|choke[sd]?|strangle[sd]?|burn(s|ed|t)|"
    r"whip(s|ped)?|bit|bites|drag(s|ged)?|shoves?|shoved|bash\w*|smack\w*|thr[eo]w[sn]?|attack\w*|stamp\w*)"
)

PLAIN = {
    "self-harm": (
        r"suicid\w*",
        r"(kill|hang|drown|shoot|harm|hurt|cut|cuts|burn|finish)(s|ing|ting|ed)? "
        r"(myself|herself|himself|themsel\w+|yourself)",
        r"(end|ending|ended|take|taking|took) (my|her|his|their)( own)? li(fe|ves)",
        r"(want|wants|wanted|wish|wishes|going|rather|ready|hope|planning|decided)( \w+){0,3} "
        r"(to die|be dead|(was|were|am) dead)",
        r"(don't|do not|doesn't|never|not) want to (live|be alive|exist|wake up|be here any ?more)",
        r"self[- ]?harm\w*|noose|overdos\w+|slit\w* \w+ (wrists?|throat|arms?)",
        r"(cut|cuts|cutting) (all over |on )?(my|her|his) (wrists?|arms?|legs?|thighs?|skin|veins?)",
        r"(better off|happier|better place)( \w+)? (without me|if i (was|were|am) (gone|dead|not))",
        r"(not|isn't|nothing|no reason|no point)( \w+){0,3} (worth living|live for|of living|in living|being alive)",
        r"(done|tired|sick) (with|of) (living|life|being alive|being here)(?! (in|with|at|here|alone|on|like))",
        r"(pills?|tablets|bleach|insulin)( \w+){0,6} (kill me|to die|die|be enough|go quietly|on purpose)",
        r"(whole|entire) (bottle|pack|box) of( \w+)? (pills|tablets|painkillers)",
        r"(jump|jumping|jumped|step|stepping|throw myself) (off|from|in front of) (the|a|that)( \w+)? "
        r"(roof|bridge|building|balcony|cliff|window|park|train|tram|truck)",
        r"(i'll|i will|he'll|she'll|will) be dead by|six feet under|dead and buried",
        r"last (night|day|message|words) (on|in|to) (this|the) (planet|earth|world)",
        r"(no|lost the|lost all) (reason|will|wish|desire) to (live|go on|carry on)",
        r"life (has no|isn't worth|is not worth|is worth nothing|means nothing)",
        r"(wake|waking) up( again)? (is|would be) (too|un)|(never|not|don't|won't) (to )?wake up (again|any ?more)",
        r"(found|tried) hanging|hanged (himself|herself|themselves)|ways to (die|kill)|bleed out|goodbye for ever",
        r"自杀|不想活|想死|活不下去|割腕|轻生|结束(我的|自己的)?生命|自残|自殺|跳楼|上吊",
    ),
    "violence": (
        r"(going to|gonna|will|wants? to|i'll|he'll|she'll|they'll|could|threaten\w* to|planning to|try to|tried to)"
        rf"( \w+)? (kill|murder|stab|strangle|shoot|massacre|poison|slaughter|choke) (?!me\b){_PERSON}"
        r"(?! (if|when|for) (i|being|that))",
        rf"(stabbed|strangled|murdered|shot at|choked|throttled|gunned down) {_PERSON}",
        r"(held|pulled|pointed|put|threatened|attacked|loading|bought|bringing|bring|took|has|got|with)( \w+){0,3} "
        r"(gun|rifle|pistol|machete|weapon|axe) (on|at|to|in|and|against|because)",
        r"(at|threatened|pulled|held)( \w+){0,4} (gun|knife)(point| to| at| on| against)",
        r"(build|building|made|plant|planting) a bomb|blow up the",
        rf"beat(s|ing|en)? {_PERSON} (up|to death|until|so)",
        r"machete|lynch\w*|gunshots?|shots? (were )?(fired|at (us|our|my|me|him|her))|(was|were|got) (shot|stabbed)",
        r"(they|you|he|she|you all|they all)('ll| will|'re going to| are going to) (all )?(die|bleed)\b",
        r"(coming|going) (to|and) (kill|shoot|stab) (you|him|her|them)|hunt (them|him|her|you) down",
        r"(shook|shake|shaking|smother\w*|drown\w*) (the|my|her|his) (baby|child|kids?|toddler|children)",
        r"(attack|bomb|shooting) (on|at|in) (the|a|my|our) (school|church|mosque|synagogue|office|station)",
        r"(pushed|threw|pulled|dragged|shoved|slammed) (me|her|him|my \w+) "
        r"(down|against|across|by (the|my|her) hair|into (a|the) wall)",
        r"(petrol|fire) ?bomb|acid in (my|her|his) face|slit (his|her|their) throats?|cut (my|his|her) throat",
        r"杀(了|死)(他|她|你|我|他们)|捅死|砍死|要杀|打死(他|她|你|我)",
    ),
    "abuse": (
        r"(rape[ds]?|raping|molest\w*|grope[ds]?)",
        r"(sexual(ly)?) (abus|assault|harass)\w*|domestic violence",
        rf"{_KIN} (\w+ )?{_HITS} (me|us|her|him|them|my \w+|our \w+|the (children|kids|child|boy|girl|baby|residents))"
        r"(?! (out|off|(at|in|to|on) (chess|tennis|cards|golf|the game|it|the (news|phone|shop|door))))",
        r"(been|was|were|am|is|being) (physically |sexually |emotionally )?abused",
        r"forc(e|es|ed|ing) (me|her|him|himself|herself) (to have sex|into|on me|to (undress|touch|sleep))",
        r"(drugged|spiked|put something in) my drink|without my (clothes on|consent)|i never consented",
        r"when i (say|said) (no|stop)|i (say|said) (no|stop) (but|and) (he|she|they)|sex with me|inside (me|her)\b",
        r"(naked|nude|intimate) (photos?|pictures?|videos?) (of me|of her|around|to people)|took (my|her) passport",
        rf"{_KIN} (\w+ )?(broke|breaks) (my|her|his|two of my|three of my) (ribs?|arm|nose|jaw|wrist|teeth|finger)",
        r"(touch\w*|fondle\w*|kisse[sd]) (me|her|him|the (girls|boys|children))( \w+)? "
        r"(there|down there|in bed|at night|when i)",
        r"(bruises|welts) (all over|because|from|from him|on her)|hide the bruises",
        r"家暴|强奸|强暴|性侵|猥亵|虐待|(老公|丈夫|爸爸|父亲|男朋友|妈妈)(又)?打我",
    ),
}
"""Phrases that leave little doubt, as regular expressions on lower case."""

_FICTION = re.compile(r"\b(film|movie|game|series|novel|book|story|episode|laser tag|documentary|news|history)\b")

_PATTERNS = {
    kind: re.compile("|".join(rf"(?:\b(?:{one})\b)" if one.isascii() else f"(?:{one})" for one in patterns))
    for kind, patterns in PLAIN.items()
}


_TARGET = (
    r"\b(me|myself|him|himself|herself|us|them|themselves|everyone|everybody|people|(my|his|her|our|their|the|a) "
    r"(\w+ )?(wife|husband|partner|ex|girlfriend|boyfriend|fiance|mum|mom|mother|dad|father|parents|brother|sister|son|"
    r"daughter|baby|child|children|kids?|boys?|girls?|boss|colleagues?|neighbou?rs?|family|classmates?|residents|face|"
    r"head|throat|neck|arms?|wrists?|legs?|thighs?|skin|body|ribs|nose|hair))\b|\b(hurt|hit|hits|beats?|kills?) her\b"
)

CUES = (
    r"\b(kill|murder|slaughter|massacre|strangl|stab|shoot|shot|gunned|behead|lynch|execut)\w*",
    r"\b(hit|beat|punch|kick|slap|smack|whip|chok|throttl|bash|stamp|shov|thr[eo]w|drag|spit|attack|assault|batter|"
    r"bit|scratch|burn|poison|drown|hurt|harm|tortur|starv|pin)(s|es|ed|en|ing|ting|ten|t)?\b",
    r"\b(gun|pistol|rifle|revolver|ammunition|bullet|knife|blade|razor|machete|axe|hammer|weapon|bomb|explosives?|acid|"
    r"bleach|noose|rope|petrol|belt|cable)s?\b",
    r"\b(die|dies|dying|dead|death|suicid\w*|funeral|grave|corpse|buried|bury|coffin|afterlife|six feet)\b",
    r"\b(alive|living|exist\w*|breathing|wake up|live for|carry on|go on|disappear|vanish|gone|end (it|my)|be over)\b",
    r"\b(pills?|tablets|overdos\w*|wrists?|bridge|roof|rooftop|balcony|platform|train|goodbye|farewell|will and)\b",
    r"\b(rape|molest|grop|undress|naked|nude|intimate|touch|forc|consent|abus|violen|blackmail|bruis|welt|stalk)\w*",
    r"\b(lock|tie|tied|trap|chain|hostage|kidnap|threat|scare|afraid|frighten|terrified|unsafe|not safe|chas)\w*",
    r"\b(blood|bleed\w*|wounds?|scars?|unconscious|passed out|broken (ribs?|arm|nose|jaw)|broke (my|her|his))\b",
    r"\b(burden|worthless|hopeless|pointless|better off|no way out|no future|give up on life|nobody would \w+)\b",
    _TARGET,
    r"\b(i|i'm|i've|i'll|my|me|myself)\b",
    r"\b(film|movie|game|series|novel|book|song|match|chess|level|photos?|recipe|laugh\w*|joke|exam|homework|printer|"
    r"battery|phone|traffic|weather|coffee|pizza|score|team|deadline|project)\b",
)
"""Words that the classifier is told of besides the meaning of the sentence, as regular expressions on lower case.

Counted together: harm and somebody who is harmed, harm and oneself."""

CUE_SIZE = 0.6
"""Length of a cue relative to sentence vectors of length 1."""

_CUES = [re.compile(cue) for cue in CUES]


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
        weights: `vectors` (of support, width), their `dual` coefficients, `numbers` (intercept, scale, shift,
            threshold), and the linear classifier that names the kind, `kind_weight` (kinds, width) and `kind_bias`.

    Raises:
        ModelUnavailableError: if the sentence encoder is absent or damaged.
    """

    def __init__(self, weights: dict[str, npt.NDArray[np.float32]]) -> None:
        self._encoder = TurnEncoder()
        self._vectors, self._dual = weights["vectors"].astype(np.float32), weights["dual"]
        self._lengths = (self._vectors**2).sum(1)
        self._intercept, self._scale, self._shift, self.threshold = map(float, weights["numbers"])
        self._kind_weight, self._kind_bias = weights["kind_weight"], weights["kind_bias"]

    def check(self, words: str) -> Alarm | None:
        """Find the sentence that sounds most like a call for care; None if none does."""
        found = [alarm for part in split_sentences(words) if (alarm := self._check(part)) is not None]
        return max(found, key=lambda alarm: alarm.probability, default=None)

    def _check(self, sentence: str) -> Alarm | None:
        plain = find_plain(sentence)
        if plain is not None:
            return Alarm(plain, sentence, 1.0)
        kind, probability = self.classify(sentence)
        return Alarm(kind, sentence, probability) if probability > self.threshold else None

    def classify(self, sentence: str) -> tuple[str, float]:
        """Estimate the kind and the probability that a sentence is a call for care of any kind."""
        row = describe(self._encoder, sentence)
        distances = self._lengths + row @ row - 2 * self._vectors @ row
        answer = float(self._dual @ np.exp(-GAMMA * np.maximum(distances, 0.0))) + self._intercept
        kind = KINDS[int((self._kind_weight @ row + self._kind_bias).argmax())]
        return kind, 1 / (1 + math.exp(-(self._scale * answer + self._shift)))


def describe(encoder: TurnEncoder, sentence: str) -> npt.NDArray[np.float32]:
    """What the classifier sees of a sentence: its vector, its cues, and each cue of harm with a target and with "I"."""
    said = sentence.lower().replace("’", "'")
    cues = np.array([cue.search(said) is not None for cue in _CUES], dtype=np.float32)
    harm, target, own = cues[:-3], cues[-3], cues[-2]
    return np.concatenate([embed(encoder, sentence), CUE_SIZE * np.concatenate([cues, harm * target, harm * own])])


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
    found = next((kind for kind, pattern in _PATTERNS.items() if pattern.search(said)), None)
    return None if found == "violence" and _FICTION.search(said) else found


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
