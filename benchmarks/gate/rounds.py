"""One round of the gate's benchmark: a small store, votes of one kind, a candidate, and the gate's decision."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from annotations.learning.promotion.comparison import Answers
from annotations.learning.promotion.confounds import CHANNEL, predict_labels
from annotations.learning.promotion.decision import Decision, PromotionRule
from annotations.learning.promotion.folds import assign_folds
from annotations.learning.promotion.gate import decide
from annotations.learning.promotion.label_knowledge import adjust
from annotations.learning.targets.base_clips import HEAD_MARGINS, base_standing
from annotations.learning.targets.head_tuning import HeadTuner, calibrate, calibrated, soft_targets
from annotations.learning.targets.presets import USUAL
from benchmarks.loop.embedded_corpora import Clips, Rng, World, feedback_of, scaled_preset
from ser.acoustic.head import ClassifierHead
from ser.evaluation.metrics import uar
from ser.labels import EMOTIONS

SHAMS = ("shuffled", "shuffled within speakers", "always neutral", "permuted", "label shares only", "channel")
"""Kinds of votes, or of candidates, that hold nothing about the voice."""

TRUE = "true votes"

LABELS, SPEAKERS, VOTES = (2, 3, 4, 7), (1, 2, 4, 6, 12), (40, 100, 200, 400)

FOLDS = 5
FEWEST_SPEAKERS = 3
PART = 5
"""Clips in a row that stay together if there are too few speakers, as in the gate."""

PRESET = scaled_preset((USUAL,))


@dataclass(frozen=True, eq=False)
class Store:
    """Clips and what the votes say of them.

    Attributes:
        clips: labelled.
        votes: index of the label that is voted for.
    """

    clips: Clips
    votes: npt.NDArray[np.int64]


def draw_store(world: World, kind: str, rng: Rng, channels: Sequence[Clips] = ()) -> Store:
    """Draw a store of a few labels and speakers, balanced or skewed, and its votes.

    Args:
        world: with the corpus.
        kind: of votes.
        rng: draws.
        channels: the same clips through one channel each; for `channel` alone, where the label decides on the channel.
    """
    new = channels[0] if kind == "channel" else world.new
    known = np.unique(new.truth)
    labels = rng.permutation(known)[: int(rng.choice(LABELS))]
    speakers = rng.permutation(np.unique(new.speakers))[: int(rng.choice(SPEAKERS))]
    count = int(rng.choice(VOTES))
    rows = np.flatnonzero(np.isin(new.truth, labels) & np.isin(new.speakers, speakers))
    shares = rng.dirichlet(np.full(len(labels), 50.0 if rng.random() < 0.5 else 1.0))
    weights = shares[np.searchsorted(np.sort(labels), new.truth[rows])]
    weights = weights / np.bincount(new.truth[rows], minlength=len(EMOTIONS))[new.truth[rows]]
    weights = weights + 1e-9
    size = min(count, len(rows))
    drawn = rng.choice(rows, size, replace=False, p=weights / weights.sum())
    clips = new.take(drawn)
    given = clips.truth.copy()
    if kind in ("shuffled", "channel"):
        given = rng.permutation(given)
    elif kind == "shuffled within speakers":
        for speaker in np.unique(clips.speakers):
            own = clips.speakers == speaker
            given[own] = rng.permutation(given[own])
    elif kind == "always neutral":
        given = np.where(rng.random(size) < 0.2, rng.permutation(given), EMOTIONS.index("neutral"))
    elif kind == "permuted":
        given = np.roll(np.sort(labels), 1)[np.searchsorted(np.sort(labels), given)]
    if kind == "channel":
        channel = rng.permutation(len(channels))[np.unique(given, return_inverse=True)[1] % len(channels)]
        parts = [part.take(drawn) for part in channels]
        clips = replace(
            clips,
            embeddings=np.stack([part.embeddings for part in parts])[channel, np.arange(size)],
            channel=np.stack([part.channel for part in parts])[channel, np.arange(size)],
        )
    return Store(clips, given)


def run_round(world: World, store: Store, kind: str, seed: int, looks: float = 0.0) -> dict[str, object]:
    """Train on a store and let the gate decide; its true effect is measured on speakers who are not in the store."""
    clips, given = store.clips, store.votes
    few = len(set(clips.speakers.tolist())) < FEWEST_SPEAKERS
    groups = [str(place // PART) for place in range(len(clips))] if few else clips.speakers.tolist()
    feedback = replace(feedback_of(clips, [(n, "ann", label) for n, label in enumerate(given.tolist())]), groups=groups)
    folds = assign_folds(groups, FOLDS, seed)
    before = world.head.probabilities(clips.embeddings)
    shares = np.eye(len(EMOTIONS))[given]
    if kind == "label shares only":
        prior = shares.mean(0) + 0.01
        head, after = world.head, before * prior / (before * prior).sum(1, keepdims=True)
    else:
        tuner = HeadTuner(world.head, PRESET, world.replayed, world.guard, seed)
        divisions = [folds, assign_folds(groups, FOLDS, seed + 1)]
        logs = tuner.predict_averaged(feedback, clips.embeddings, [(each, each) for each in divisions])
        targets, weights = soft_targets(feedback)
        after = calibrated(logs, targets, weights, folds, world.head, PRESET)
        found = calibrate(logs, targets, weights, world.head, PRESET)
        head = replace(tuner.fit(feedback, tuner.select(feedback)), temperature=found.temperature or 1.0)
    names = [EMOTIONS[label] for label in given]
    old, new = ([EMOTIONS[place] for place in rows.argmax(1)] for rows in (before, after))
    answers = Answers(names, old, new, groups, "speaker", probabilities=(before, after))
    hints = {CHANNEL: predict_labels(clips.channel, shares, folds)}
    decision = decide(
        answers,
        PromotionRule(seed=seed, margins=HEAD_MARGINS),
        base=base_standing(world.head, head, world.tested),
        looks=looks,
        hints=hints,
    )
    strangers = world.new.take(
        ~np.isin(world.new.speakers, clips.speakers) & np.isin(world.new.truth, np.unique(clips.truth))
    )
    return {
        "promoted": decision.promoted,
        "reason": why(decision),
        "gain": round(decision.gain, 4),
        "base": round(decision.base.change, 4) if decision.base else None,
        "true_gain": round(informed_recall(head, strangers) - informed_recall(world.head, strangers), 4)
        if len(strangers)
        else None,
        "votes": len(clips),
        "speakers": len(set(clips.speakers.tolist())),
        "labels": len(set(given.tolist())),
    }


def informed_recall(head: ClassifierHead, clips: Clips) -> float:
    """Unweighted average recall of a head that knows which labels occur and how often."""
    said = adjust(head.probabilities(clips.embeddings), np.eye(len(EMOTIONS))[clips.truth]).argmax(1)
    return uar([EMOTIONS[label] for label in clips.truth], [EMOTIONS[label] for label in said], EMOTIONS)


def why(decision: Decision) -> str:
    """The beginning of a decision's reason: what it turns on."""
    return decision.reason.partition(",")[0].partition("(")[0].strip()
