"""The speaker's own words, turned round: "I lost my job" becomes "you lost your job". Pure; English.

Source of the idea: Weizenbaum 1966, "ELIZA", https://doi.org/10.1145/365153.365168.
"""

import re

TURNED = {
    "i'm": "you're",
    "i've": "you've",
    "i'll": "you'll",
    "i'd": "you'd",
    "i": "you",
    "me": "you",
    "my": "your",
    "mine": "yours",
    "myself": "yourself",
    "we're": "you're",
    "we've": "you've",
    "we": "you",
    "us": "you",
    "our": "your",
    "ours": "yours",
    "am": "are",
}

SPOKEN_TO = {"you", "your", "yours", "yourself", "you're", "you've", "you'll", "you'd"}
"""Words that would change sides: such a sentence is quoted instead."""

MOST_WORDS, LEAST_WORDS = 14, 3

OPENING = re.compile(
    r"^(oh|well|yes|yeah|no|and|but|so|because|i know|i mean|you know|um|uh|hm+)\b[\s,.!–-]*", re.IGNORECASE
)


def clean(sentence: str) -> str:
    """A sentence without its opening and its end.

    >>> clean("Well, I lost my keys!")
    'I lost my keys'
    """
    left = sentence.strip()
    while (shorter := OPENING.sub("", left)) != left:
        left = shorter
    return left.rstrip(" .!?…–-")


def turn_round(sentence: str) -> str | None:
    """Say a sentence back; None if that cannot be done by exchanging words.

    Questions, sentences to the listener, very long or short ones, and those that do not speak of oneself are not turned
    round.

    >>> turn_round("Oh, they gave my job to somebody else!"), turn_round("Do you like it?")
    ('they gave your job to somebody else', None)
    >>> turn_round("I was so happy with myself.")
    'you were so happy with yourself'
    """
    if sentence.rstrip().endswith("?"):
        return None
    words = clean(sentence).replace("’", "'").split()
    plain = [word.lower().strip(",.;:!") for word in words]
    if not LEAST_WORDS <= len(words) <= MOST_WORDS or SPOKEN_TO & set(plain) or not TURNED.keys() & set(plain):
        return None
    said = []
    for place, (word, low) in enumerate(zip(words, plain, strict=True)):
        turned = TURNED.get(low)
        if low == "was" and place and plain[place - 1] in ("i", "we"):
            turned = "were"
        if turned is None:
            keep = place > 0 or low[:1].isupper() or word.isupper() and len(word) > 1
            said.append(word if keep else word[:1].lower() + word[1:])
        else:
            said.append(turned + word[len(word.rstrip(",.;:!")) :])
    return " ".join(said)
