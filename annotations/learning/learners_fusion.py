"""Teaches how much sound and words weigh, and how sure they are taken to be, from the answers that the store holds.

Hears no recording again; see `annotations.learning.learners`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from annotations.learning.config import RetrainingConfig
from annotations.learning.decision import MARGINS, Decision, Standing
from annotations.learning.gate import decide, spend
from annotations.learning.holdout import Holdout
from annotations.learning.learners import Lesson
from annotations.learning.mean_gain import interval
from annotations.records import FeedbackExample, Prediction
from annotations.rows import to_prediction
from annotations.store import AnnotationStore
from annotations.training_records import NewVersion
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.fusion_fitting import LEAST, HeardClip, answer, check_clips, fit_fusion_rule, log_losses
from ser.fusion_rule import FusionRule, load_fusion_rule, save_fusion_rule
from ser.labels import EMOTIONS
from ser.types import EmotionScores, Segment, Transcript

MIN_HELD_OUT = 8
LEAST_GAIN = 0.005
"""Nats of cross entropy under which honest confidence is not worth a new version."""


@dataclass(frozen=True)
class Answered:
    """Clips with the answers that were stored for them.

    Attributes:
        examples: what people say of them.
        clips: what the models said, in the same order.
        without: clips left out because no model has answered them.
    """

    examples: tuple[FeedbackExample, ...]
    clips: tuple[HeardClip, ...]
    without: int

    @property
    def with_words(self) -> int:
        """Clips whose words said something."""
        return sum(clip.text is not None for clip in self.clips)


class FusionLearner:
    """See `annotations.learning.learners.Learner`. A run takes seconds: what was killed is done again, to the same."""

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        """Enough stored answers on both sides."""
        acoustic = _version_in_use(store)
        check_clips(answered(store, holdout.training, acoustic).clips)
        check_judges(answered(store, holdout.held_out, acoustic))

    def learn(self, lesson: Lesson) -> NewVersion:
        """Fit the rule to the answers of the training side."""
        known = answered(lesson.store, lesson.holdout.training, _version_in_use(lesson.store))
        lesson.say(
            f"Weighing sound and words on {len(known.clips)} answered clips, {known.with_words} with words; "
            f"{known.without} have no answer and are left out."
        )
        if lesson.should_stop():
            raise TrainingCancelledError("Stopped before the rule was fitted.")
        start = load_fusion_rule(lesson.base)
        rule = fit_fusion_rule(known.clips, start)
        loss = {
            "training_loss_before": float(log_losses(start, known.clips).mean()),
            "training_loss_after": float(log_losses(rule, known.clips).mean()),
        }
        facts = {**lesson.facts(), "answered_clips": len(known.clips), "clips_with_words": known.with_words}
        sha256 = save_fusion_rule(rule, lesson.model_dir, name=lesson.name, data=facts, metrics=loss)
        parameters = {
            "max_weight": round(rule.max_weight, 4),
            "acoustic_temperature": round(rule.acoustic_temperature, 4),
            "text_temperature": round(rule.text_temperature, 4),
        }
        return lesson.new_version(sha256, {"fusion": parameters, "clips_without_answer": known.without})

    def compare(self, lesson: Lesson, version: NewVersion) -> Decision:
        """Both rules answer the held-out side; better labels decide, and where these stay, honester confidence."""
        acoustic = _version_in_use(lesson.store)
        known = answered(lesson.store, lesson.holdout.held_out, acoustic)
        check_judges(known)
        old, new = load_fusion_rule(lesson.base), load_fusion_rule(lesson.store.data_dir / version.path)
        gold = answered(lesson.store, lesson.holdout.gold, acoustic)
        labels = answered(lesson.store, lesson.holdout.training, acoustic)
        return judge_rules(
            known,
            old,
            new,
            gold=gold,
            shares=label_shares(labels.clips),
            config=(lesson.config.confidence, lesson.config.min_gain, lesson.config.seed),
            unit=lesson.holdout.unit,
            looks=lesson.holdout.looks,
        )


def check_judges(known: Answered) -> None:
    """Refuse too few held-out clips.

    Raises:
        TrainingDataError: with the number needed.
    """
    if len(known.clips) < MIN_HELD_OUT:
        raise TrainingDataError(
            f"{len(known.clips)} held-out clips have an answer to judge the fusion by; {MIN_HELD_OUT} are needed. "
            "Let the model answer more clips of other speakers, and label them."
        )


def judge_rules(
    known: Answered,
    old: FusionRule,
    new: FusionRule,
    *,
    gold: Answered,
    shares: Mapping[str, float],
    config: tuple[float, float, int],
    unit: str,
    looks: float,
) -> Decision:
    """Whether a rule may replace another.

    Labels that are right more often decide as with every model. A temperature changes few labels or none, so a rule is
    also promoted where its cross entropy on held-out clips is lower with the stated confidence, no fewer labels are
    right than the margin allows, and its answers say more than the mere frequency of the labels: votes that have
    nothing to do with the clips make every flat answer look honest.

    Args:
        known: held-out clips.
        old: the rule in use.
        new: the candidate.
        gold: clips of a known label.
        shares: {label: frequency} on the training side.
        config: confidence, least gain, and seed, as in `gate.decide`.
        unit: as in `gate.decide`.
        looks: likewise.
    """
    confidence, min_gain, seed = config
    groups = [example.group for example in known.examples]
    said = [[answer(rule, clip).label for clip in known.clips] for rule in (old, new)]
    marked = None
    if gold.clips:
        right = [[answer(rule, clip).label for clip in gold.clips] for rule in (old, new)]
        truth = [max(clip.truth, key=lambda label, clip=clip: clip.truth[label]) for clip in gold.clips]  # type: ignore[misc]
        scores = [float(np.mean([a == t for a, t in zip(some, truth, strict=True)])) for some in right]
        marked = Standing("gold clips", scores[0], scores[1], len(truth))
    decision = decide(
        [clip.truth for clip in known.clips],
        said[0],
        said[1],
        groups,
        confidence=confidence,
        min_gain=min_gain,
        seed=seed,
        unit=unit,
        looks=looks,
    )
    losses = [log_losses(rule, known.clips) for rule in (old, new)]
    alpha = spend(1 - confidence, looks)
    low, high = interval(losses[0] - losses[1], groups, alpha, seed)
    gain = float((losses[0] - losses[1]).mean())
    constant = np.array([max(shares.get(label, 0.0), LEAST) for label in EMOTIONS])
    truths = np.array([[clip.truth.get(label, 0.0) for label in EMOTIONS] for clip in known.clips])
    ignorant = float(-(truths @ np.log(constant)).mean())
    after = float(losses[1].mean())
    # No base is looked at: a rule of three numbers holds no knowledge that it could forget.
    fallen = marked is not None and marked.change < -MARGINS.gold - 1e-9 and -marked.change * marked.count > 1 + 1e-9
    honest = gain >= LEAST_GAIN and low > 0 and decision.gain >= -MARGINS.base - 1e-9
    informed = after < ignorant
    facts = (
        f"cross entropy {float(losses[0].mean()):.3f} to {after:.3f} nats "
        f"(gain {gain:+.3f} [{low:+.3f}, {high:+.3f}]), {100 * decision.gain:+.1f} points of unweighted average recall "
        f"on {len(known.clips)} held-out clips, {known.with_words} with words"
    )
    promoted = (decision.promoted or honest) and informed and not fallen
    if promoted and decision.promoted:
        reason = decision.reason.replace("; the base was not looked at", f"; {facts}")
    elif promoted:
        reason = f"Promoted: the answers are as often right and their confidence is honester; {facts}."
    elif not informed:
        reason = (
            f"Refused: the answers say no more of these votes than the labels' frequency does ({ignorant:.3f} nats); "
            f"{facts}."
        )
    elif fallen and marked is not None:
        reason = f"Refused: it is worse on the gold clips ({100 * marked.change:+.1f} points); {facts}."
    else:
        reason = f"Refused: neither more answers are right nor is their confidence surely honester; {facts}."
    return replace(
        decision,
        promoted=promoted,
        reason=reason,
        gold=marked,
        before={**decision.before, "cross_entropy": round(float(losses[0].mean()), 4)},
        after={**decision.after, "cross_entropy": round(after, 4)},
        needed=None if promoted else decision.needed,
    )


def label_shares(clips: Sequence[HeardClip]) -> dict[str, float]:
    """How often each label is meant, each one counted once more than it is, so that none is impossible.

    >>> label_shares([])["anger"] == 1 / 7
    True
    """
    counts = {label: 1.0 + math.fsum(clip.truth.get(label, 0.0) for clip in clips) for label in EMOTIONS}
    return {label: count / math.fsum(counts.values()) for label, count in counts.items()}


def answered(store: AnnotationStore, examples: Sequence[FeedbackExample], acoustic: int | None) -> Answered:
    """Clips with their stored answers: the newest of the acoustic version in use, else the newest of any.

    Args:
        store: where the answers are.
        examples: labelled clips.
        acoustic: id of the acoustic version in use.
    """
    found: list[tuple[FeedbackExample, HeardClip]] = []
    with store.reading() as connection:
        for example in examples:
            row = connection.execute(
                "SELECT * FROM predictions WHERE clip_id = ? ORDER BY model_version_id = ? DESC, id DESC LIMIT 1",
                (example.clip.id, acoustic),
            ).fetchone()
            clip = heard(to_prediction(row), example) if row else None
            if clip is not None:
                found.append((example, clip))
    return Answered(
        tuple(example for example, _ in found), tuple(clip for _, clip in found), len(examples) - len(found)
    )


def heard(prediction: Prediction, example: FeedbackExample) -> HeardClip | None:
    """What was answered for a clip, as the fitting takes it; None where the answer lacks the sound's scores."""
    sound, words = prediction.scores.get("acoustic"), prediction.scores.get("text")
    if not sound:
        return None
    transcript = _transcript(prediction)
    text = _scores(words) if words and transcript is not None else None
    return HeardClip(_scores(sound), text, transcript if text else None, example.soft_label)


def _scores(stored: Mapping[str, float]) -> EmotionScores:
    """Stored scores are rounded to four digits: their sum is brought back to 1."""
    total = math.fsum(stored.values())
    return EmotionScores.from_dict({label: share / total for label, share in stored.items()})


def _transcript(prediction: Prediction) -> Transcript | None:
    told = prediction.details.get("transcript")
    if not isinstance(told, Mapping) or not told.get("text"):
        return None
    segments = tuple(
        Segment(float(part["start"]), float(part["end"]), str(part["text"]), part.get("confidence"))
        for part in told.get("segments") or ()
    )
    return Transcript(str(told["text"]), told.get("language"), segments, str(told.get("source") or "stored"))


def _version_in_use(store: AnnotationStore) -> int | None:
    """Whose answers count first."""
    with store.reading() as connection:
        row = connection.execute(
            "SELECT model_version_id AS id FROM promotions JOIN model_versions ON model_versions.id = model_version_id "
            "WHERE target = 'acoustic' ORDER BY promotions.id DESC LIMIT 1"
        ).fetchone()
    return int(row["id"]) if row else None
