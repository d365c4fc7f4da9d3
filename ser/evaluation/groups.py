"""Figures by group of speakers (gender, age, language) and by emotion, with counts and intervals.

Corpora differ in labels and difficulty, so groups are compared within each corpus that has both, and the differences
are averaged over the corpora: a pooled figure would tell the corpora apart, not the groups.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ser.errors import SettingsError
from ser.evaluation.metrics import Interval, bootstrap_interval, confusion, uar_of
from ser.evaluation.report import Evaluation
from ser.types import Example

AGES = ((30.0, "under 30"), (50.0, "30 to 49"), (float("inf"), "50 and older"))
"""Upper ends of the age groups, in years."""

LEAST_SPEAKERS = 2
"""Speakers that a group needs in a corpus to be compared: one voice is no group."""

RESAMPLES = 1000


def age_group(age: float | None) -> str | None:
    """The group of an age in years.

    >>> age_group(29), age_group(30), age_group(71), age_group(None)
    ('under 30', '30 to 49', '50 and older', None)
    """
    return None if age is None else next(name for end, name in AGES if age < end)


TRAITS: Mapping[str, Callable[[Example], str | None]] = {
    "gender": lambda example: example.gender,
    "age": lambda example: age_group(example.age),
    "language": lambda example: example.language,
    "emotion": lambda example: example.hard_label,
}
"""{what figures may be asked by: group of an example; None if the corpus says nothing}"""


def check_traits(traits: Sequence[str]) -> None:
    """Refuse what no figures can be asked by.

    Raises:
        SettingsError: naming the first one.
    """
    for trait in traits:
        if trait not in TRAITS:
            raise SettingsError(f"Figures by '{trait}' are not known; expected some of {', '.join(TRAITS)}.")


def figures_by(evaluation: Evaluation, trait: str) -> dict[str, Any]:
    """Figures of each group.

    Args:
        evaluation: the answers.
        trait: one of `TRAITS`.

    Returns:
        `by`; `unknown`, the examples of which the corpus says nothing; `groups`: {group: `n, speakers, corpora, recall,
        ci`}, the recall averaged over the emotions (UAR), or of the one emotion; and `gaps`: {"a - b": `points, ci,
        corpora`}, the mean over the corpora that have both groups of the difference of their recalls, in points.

    Raises:
        SettingsError: if there is no such trait.
    """
    check_traits([trait])
    of = [TRAITS[trait](example) for example in evaluation.examples]
    names = sorted({name for name in of if name is not None})
    groups = {name: _group(evaluation, [row for row, one in enumerate(of) if one == name]) for name in names}
    gaps = {}
    if trait in ("gender", "age"):
        for place, first in enumerate(names):
            for second in names[place + 1 :]:
                if found := _gap(evaluation, of, first, second):
                    gaps[f"{first} - {second}"] = found
    return {"by": trait, "unknown": of.count(None), "groups": groups, "gaps": gaps}


def _rows(evaluation: Evaluation, rows: Sequence[int]) -> tuple[list[str], list[str], list[str]]:
    truth, answers, speakers = evaluation.truth, evaluation.predictions, evaluation.speakers
    return [truth[row] for row in rows], [answers[row] for row in rows], [speakers[row] for row in rows]


def _group(evaluation: Evaluation, rows: Sequence[int]) -> dict[str, Any]:
    truth, answers, speakers = _rows(evaluation, rows)
    interval = bootstrap_interval(truth, answers, evaluation.labels, groups=speakers, resamples=RESAMPLES)
    corpora = sorted({evaluation.examples[row].corpus for row in rows})
    ends = [interval.low, interval.high]
    return {
        "n": len(rows), "speakers": len(set(speakers)), "corpora": corpora, "recall": interval.value, "ci": ends,
    }  # fmt: skip


def _gap(evaluation: Evaluation, of: Sequence[str | None], first: str, second: str) -> dict[str, Any] | None:
    """The mean difference over the corpora that have both groups; None if there is none."""
    rng = np.random.default_rng(0)
    differences, corpora = [], []
    for corpus in sorted({example.corpus for example in evaluation.examples}):
        sides = []
        for name in (first, second):
            rows = [row for row, one in enumerate(of) if one == name and evaluation.examples[row].corpus == corpus]
            sides.append(_matrices(evaluation, rows))
        if min(map(len, sides)) < LEAST_SPEAKERS:
            continue
        # Whole speakers are drawn, of each group on its own.
        drawn = []
        for side in sides:
            counts = rng.multinomial(len(side), np.full(len(side), 1 / len(side)), size=RESAMPLES)
            counts = np.vstack([np.ones(len(side), dtype=np.int64), counts])
            drawn.append([uar_of(np.tensordot(row, side, 1)) for row in counts])
        differences.append(np.array(drawn[0]) - np.array(drawn[1]))
        corpora.append(corpus)
    if not differences:
        return None
    mean = 100 * np.mean(differences, axis=0)
    found = Interval(float(mean[0]), *(float(end) for end in np.nanquantile(mean[1:], [0.025, 0.975])))
    return {"points": found.value, "ci": [found.low, found.high], "corpora": corpora}


def _matrices(evaluation: Evaluation, rows: Sequence[int]) -> Any:
    """Confusion matrix of each speaker, shape (speakers, labels, labels)."""
    truth, answers, speakers = _rows(evaluation, rows)
    found = []
    for speaker in sorted(set(speakers)):
        own = [place for place, one in enumerate(speakers) if one == speaker]
        found.append(confusion([truth[p] for p in own], [answers[p] for p in own], evaluation.labels))
    return np.array(found)


def describe_groups(figures: Mapping[str, Any]) -> list[str]:
    """Lines for a person."""
    unknown = (
        f" ({figures['unknown']} example{'' if figures['unknown'] == 1 else 's'} without it)"
        if figures["unknown"]
        else ""
    )
    lines = ["", f"  by {figures['by']}{unknown}"]
    for name, group in figures["groups"].items():
        low, high = group["ci"]
        lines.append(
            f"    {name}: {group['n']} example{'' if group['n'] == 1 else 's'}, {group['speakers']} "
            f"speaker{'' if group['speakers'] == 1 else 's'} of {', '.join(group['corpora'])}; "
            f"recall {group['recall']:.1%} [{low:.1%}, {high:.1%}]"
        )
    for name, gap in figures["gaps"].items():
        low, high = gap["ci"]
        lines.append(
            f"    {name}: {gap['points']:+.1f} points [{low:+.1f}, {high:+.1f}], within {', '.join(gap['corpora'])}"
        )
    return lines
