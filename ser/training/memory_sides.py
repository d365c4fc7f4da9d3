"""Which clips of the base corpora a network learns again, and which say whether it has forgotten. Pure."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from ser.types import Example


def draw_sides(
    examples: Sequence[Example], kept_out: Collection[str], most: int, seed: int = 0
) -> tuple[list[Example], list[Example]]:
    """What to learn again and what to judge by.

    Speakers whom the network was not trained on are divided: as part of what is learnt again they keep the network
    from forgetting voices, where those it was trained on only keep it from forgetting them; the others judge, as
    voices that it knows from neither side. Where a corpus has but one of them, half of its clips are on each side.
    No clip is on both sides.

    Args:
        examples: of the base corpora.
        kept_out: speakers whom the network was not trained on.
        most: clips of each label of each corpus on each side and of each kind of speaker.
        seed: of the draws.

    Returns:
        To learn again, clips of the speakers kept out under a corpus of their own; and to judge by.
    """
    judges, alone = _divide_speakers([example for example in examples if example.speaker in kept_out])
    lessons: list[Example] = []
    judging: list[Example] = []
    taken: Counter[tuple[str, str, str]] = Counter()
    turns: Counter[tuple[str, str]] = Counter()
    for place in np.random.default_rng(seed).permutation(len(examples)).tolist():
        example = examples[place]
        known, judged = example.speaker not in kept_out, example.speaker in judges
        if example.speaker in alone:
            turns[example.speaker, example.hard_label] += 1
            judged = turns[example.speaker, example.hard_label] % 2 == 1
        corpus = example.corpus if known or judged else f"{example.corpus} unheard"
        cell = ("judging" if judged else "lessons", corpus, example.hard_label)
        taken[cell] += 1
        if taken[cell] <= most:
            (judging if judged else lessons).append(replace(example, corpus=corpus))
    return lessons, judging


def _divide_speakers(examples: Sequence[Example]) -> tuple[set[str], set[str]]:
    """Those who judge, every second of a corpus from the one with the most clips on; and those alone in theirs."""
    clips = Counter((example.corpus, example.speaker) for example in examples)
    judges: set[str] = set()
    alone: set[str] = set()
    for corpus in sorted({name for name, _ in clips}):
        order = sorted((speaker for name, speaker in clips if name == corpus), key=lambda s: (-clips[corpus, s], s))
        if len(order) == 1:
            alone.add(order[0])
        judges.update(order[::2])
    return judges, alone
