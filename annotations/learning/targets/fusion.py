"""Trains the weight of the words and the temperatures of voice and words on the answers that the store holds.

Decodes no recording; see `annotations.learning.trainer`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from annotations.learning.config import RetrainingConfig
from annotations.learning.promotion.comparison import Answers, compare_rates
from annotations.learning.promotion.decision import Decision, PromotionRule
from annotations.learning.promotion.gate import NO_BASE_TEST, OtherMeasure, decide, spend
from annotations.learning.promotion.holdout import Holdout
from annotations.learning.trainer import TrainingJob
from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion
from annotations.store.records import FeedbackExample, Prediction
from annotations.store.rows import to_prediction
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.fusion.fitting import LEAST, AnsweredClip, answer, check_clips, fit_fusion_rule, log_losses
from ser.fusion.rule import FusionRule, load_fusion_rule, save_fusion_rule
from ser.labels import EMOTIONS
from ser.types import EmotionScores, Segment, Transcript

MIN_HELD_OUT = 8
LEAST_GAIN = 0.005
"""Least drop of cross entropy, nats, for which better calibration is worth a new version."""

SINGLE_MODEL = ("opinion", "face")
"""Parts of an answer that anybody's model may give: a weight holds for one model."""


@dataclass(frozen=True)
class Answered:
    """Clips with the answers that were stored for them.

    Attributes:
        examples: what people say of them.
        clips: what the models said, in the same order.
        without: clips left out because no model has answered them.
    """

    examples: tuple[FeedbackExample, ...]
    clips: tuple[AnsweredClip, ...]
    without: int

    @property
    def with_words(self) -> int:
        """Clips whose words said something."""
        return sum(clip.text is not None for clip in self.clips)

    @property
    def with_opinions(self) -> int:
        """Clips that a language model gave an opinion on."""
        return sum(clip.opinion is not None for clip in self.clips)

    @property
    def with_faces(self) -> int:
        """Clips with a face that was read."""
        return sum(clip.face is not None for clip in self.clips)


class FusionTrainer:
    """Trainer of the fusion rule. A run takes seconds: after a kill it starts again, with the same result."""

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        """Refuse a run without enough stored answers in both splits."""
        acoustic = _version_in_use(store)
        check_clips(answered(store, holdout.training, acoustic).clips)
        check_held_out(answered(store, holdout.held_out, acoustic))

    def train(self, job: TrainingJob) -> NewVersion:
        """Fit the rule to the answers of the training split."""
        known = answered(job.store, job.holdout.training, _version_in_use(job.store))
        job.say(
            f"Weighing sound and words on {len(known.clips)} answered clip{'' if len(known.clips) == 1 else 's'}, "
            f"{known.with_words} with words; without an answer and left out: {known.without}."
        )
        if job.should_stop():
            raise TrainingCancelledError("Stopped before the rule was fitted.")
        start = load_fusion_rule(job.base)
        rule = fit_fusion_rule(known.clips, start)
        loss = {
            "training_loss_before": float(log_losses(start, known.clips).mean()),
            "training_loss_after": float(log_losses(rule, known.clips).mean()),
        }
        facts = {**job.facts(), "answered_clips": len(known.clips), "clips_with_words": known.with_words}
        facts |= {"clips_with_opinions": known.with_opinions, "clips_with_faces": known.with_faces}
        sha256 = save_fusion_rule(rule, job.model_dir, name=job.name, data=facts, metrics=loss)
        parameters = {
            "max_weight": round(rule.max_weight, 4),
            "acoustic_temperature": round(rule.acoustic_temperature, 4),
            "text_temperature": round(rule.text_temperature, 4),
        }
        for part, clips in (("opinion", known.with_opinions), ("face", known.with_faces)):
            if clips:
                parameters |= {
                    name: round(getattr(rule, name), 4) for name in (f"{part}_weight", f"{part}_temperature")
                }
        return job.new_version(sha256, {"fusion": parameters, "clips_without_answer": known.without})

    def compare(self, job: TrainingJob, version: NewVersion) -> Decision:
        """Predict the held-out clips with both rules and decide."""
        acoustic = _version_in_use(job.store)
        known = answered(job.store, job.holdout.held_out, acoustic)
        check_held_out(known)
        old, new = load_fusion_rule(job.base), load_fusion_rule(job.store.data_dir / version.path)
        gold = answered(job.store, job.holdout.gold, acoustic)
        labels = answered(job.store, job.holdout.training, acoustic)
        return compare_rules(
            known,
            old,
            new,
            job.config.rule,
            gold=gold,
            shares=label_shares(labels.clips),
            unit=job.holdout.unit,
            looks=job.holdout.looks,
        )


def check_held_out(known: Answered) -> None:
    """Refuse too few held-out clips.

    Raises:
        TrainingDataError: with the number needed.
    """
    if len(known.clips) < MIN_HELD_OUT:
        raise TrainingDataError(
            f"Held-out clips with an answer to compare fusion rules on: {len(known.clips)}; {MIN_HELD_OUT} are needed. "
            "Let the model answer more clips of other speakers, and label them."
        )


def compare_rules(
    known: Answered,
    old: FusionRule,
    new: FusionRule,
    rule: PromotionRule,
    *,
    gold: Answered,
    shares: Mapping[str, float],
    unit: str = "speaker",
    looks: float = 0.0,
) -> Decision:
    """Decide if a fusion rule may replace another.

    The gate's rule holds, with cross entropy as a second measure. A temperature changes few labels or none, so lower
    cross entropy on held-out clips, with the stated confidence, replaces the gain in recall. The predictions must
    say more than the mere frequency of the labels: with votes that have nothing to do with the clips, every flat
    prediction looks well calibrated.

    Args:
        known: held-out clips.
        old: the current rule.
        new: the candidate.
        rule: the conditions of the promotion.
        gold: clips of a known label.
        shares: {label: frequency} in the training split.
        unit: as in `Answers`.
        looks: as in `gate.decide`.
    """
    losses = [log_losses(either, known.clips) for either in (old, new)]
    before, after = (float(loss.mean()) for loss in losses)
    groups = [example.group for example in known.examples]
    found = compare_rates(
        losses[0], losses[1], np.ones(len(groups)), groups, spend(1 - rule.confidence, looks), seed=rule.seed
    )
    low, high = found.low, found.high
    by_frequency = label_entropy(known.clips, shares)
    words = (
        f"cross entropy {before:.3f} to {after:.3f} nats (gain {before - after:+.3f} [{low:+.3f}, {high:+.3f}]), "
        f"{known.with_words} of the clips with words"
    )
    other = OtherMeasure(
        words,
        suffices=before - after >= LEAST_GAIN and low > 0,
        objection=None
        if after < by_frequency
        else f"the predictions say no more of these votes than the labels' frequency does ({by_frequency:.3f} nats)",
    )
    decision = decide(_answers(known, old, new, unit), rule, gold=_answers(gold, old, new), looks=looks, other=other)
    return replace(
        decision,
        # A rule of three numbers has no old skills to lose.
        reason=decision.reason.replace(f"; {NO_BASE_TEST}", ""),
        before={**decision.before, "cross_entropy": round(before, 4)},
        after={**decision.after, "cross_entropy": round(after, 4)},
    )


def _answers(known: Answered, old: FusionRule, new: FusionRule, unit: str = "speaker") -> Answers:
    said = [[answer(rule, clip).label for clip in known.clips] for rule in (old, new)]
    truth, groups = [clip.truth for clip in known.clips], [example.group for example in known.examples]
    return Answers(truth, said[0], said[1], groups, unit)


def label_entropy(clips: Sequence[AnsweredClip], shares: Mapping[str, float]) -> float:
    """Compute the cross entropy of predicting the labels' frequency for every clip, in nats."""
    constant = np.array([max(shares.get(label, 0.0), LEAST) for label in EMOTIONS])
    truths = np.array([[clip.truth.get(label, 0.0) for label in EMOTIONS] for clip in clips])
    return float(-(truths @ np.log(constant)).mean())


def label_shares(clips: Sequence[AnsweredClip]) -> dict[str, float]:
    """Compute the frequency of each label, each one counted once more so that none is impossible.

    >>> label_shares([])["anger"] == 1 / 7
    True
    """
    counts = {label: 1.0 + math.fsum(clip.truth.get(label, 0.0) for clip in clips) for label in EMOTIONS}
    return {label: count / math.fsum(counts.values()) for label, count in counts.items()}


def answered(store: AnnotationStore, examples: Sequence[FeedbackExample], acoustic: int | None) -> Answered:
    """Clips with their stored answers: the newest of the current acoustic version, else the newest of any.

    Of language models' opinions, and of faces, those of the model count that was asked last: a weight holds for one.

    Args:
        store: where the answers are.
        examples: labelled clips.
        acoustic: id of the current acoustic version.
    """
    found: list[tuple[FeedbackExample, AnsweredClip]] = []
    models: list[dict[str, str]] = []
    newest: dict[str, tuple[int, str]] = {}
    with store.reading() as connection:
        for example in examples:
            row = connection.execute(
                "SELECT * FROM predictions WHERE clip_id = ? ORDER BY model_version_id = ? DESC, id DESC LIMIT 1",
                (example.clip.id, acoustic),
            ).fetchone()
            prediction = to_prediction(row) if row else None
            clip = answered_clip(prediction, example) if prediction else None
            if prediction is not None and clip is not None:
                found.append((example, clip))
                models.append({part: _model(prediction, part) for part in SINGLE_MODEL if getattr(clip, part)})
                for part, model in models[-1].items():
                    newest[part] = max(newest.get(part, (0, "")), (prediction.id, model))
    found = [
        (example, replace(clip, **{part: None for part, model in asked.items() if model != newest[part][1]}))  # type: ignore[arg-type]
        for (example, clip), asked in zip(found, models, strict=True)
    ]
    return Answered(
        tuple(example for example, _ in found), tuple(clip for _, clip in found), len(examples) - len(found)
    )


def answered_clip(prediction: Prediction, example: FeedbackExample) -> AnsweredClip | None:
    """Convert a stored prediction for the fitting; None if it has no acoustic scores."""
    sound, words = prediction.scores.get("acoustic"), prediction.scores.get("text")
    if not sound:
        return None
    transcript = _transcript(prediction)
    text = _scores(words) if words and transcript is not None else None
    opinion = _part(prediction, "opinion") if transcript is not None else None
    return AnsweredClip(
        _scores(sound),
        text,
        transcript if text else None,
        example.soft_label,
        opinion=opinion,
        read=transcript if opinion else None,
        face=_part(prediction, "face"),
    )


def _part(prediction: Prediction, name: str) -> EmotionScores | None:
    """Scores of one of `SINGLE_MODEL`; None if it was not asked, or abstained."""
    asked = prediction.details.get(name)
    return _scores(asked["scores"]) if isinstance(asked, Mapping) and asked.get("scores") else None


def _scores(stored: Mapping[str, float]) -> EmotionScores:
    """Stored scores are rounded to four digits: their sum is brought back to 1."""
    total = math.fsum(stored.values())
    return EmotionScores.from_dict({label: share / total for label, share in stored.items()})


def _model(prediction: Prediction, part: str) -> str:
    asked = prediction.details[part]
    return str(asked.get("model")) if isinstance(asked, Mapping) else ""


def _transcript(prediction: Prediction) -> Transcript | None:
    stored = prediction.details.get("transcript")
    if not isinstance(stored, Mapping) or not stored.get("text"):
        return None
    segments = tuple(
        Segment(float(part["start"]), float(part["end"]), str(part["text"]), part.get("confidence"))
        for part in stored.get("segments") or ()
    )
    return Transcript(str(stored["text"]), stored.get("language"), segments, str(stored.get("source") or "stored"))


def _version_in_use(store: AnnotationStore) -> int | None:
    """Id of the current acoustic version: its answers count first."""
    with store.reading() as connection:
        row = connection.execute(
            "SELECT model_version_id AS id FROM promotions JOIN model_versions ON model_versions.id = model_version_id "
            "WHERE target = 'acoustic' ORDER BY promotions.id DESC LIMIT 1"
        ).fetchone()
    return int(row["id"]) if row else None
