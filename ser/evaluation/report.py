"""How well an acoustic model does on labelled recordings, with nothing dropped in silence.

Hears each recording as recognition does: decoded, cut to its speech, classified. Knows nothing of training.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ser.audio.vad import SileroDetector
from ser.batching import map_batches
from ser.errors import TrainingDataError
from ser.evaluation.calibration import ece, ece_by_chance
from ser.evaluation.metrics import (
    bootstrap_interval,
    confusion,
    macro_f1_of,
    per_class,
    roc_auc,
    uar_of,
    war_of,
)
from ser.evaluation.predictions import Predictions, embedding_model
from ser.labels import EMOTIONS
from ser.types import AcousticModel, EmotionScores, Example, SpeechDetector


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's answers on a set of examples, and what to make of them.

    Attributes:
        model: its name.
        labels: the classes in question, in `EMOTIONS` order.
        examples: those that were answered, in the order given.
        probabilities: shape (examples, labels), rows that sum to 1.
        left_out: examples whose label is none of `labels`.
        unknown_labels: {name: count} of a corpus's labels that mean none of the seven emotions.
        unreadable: {file: reason} of recordings that could not be decoded.
        no_speech: answered recordings in which no speech was found; they were heard whole.
        undecided: examples to all of whose `labels` the model gave nothing; their answer is uniform.
        adapted_by: other clips of the speaker that each answer was adapted by; 0 for none.
        adapted_to_domain: whether each answer was adapted to its corpus.
        intensities: how strong the model heard each feeling, shape (examples,), NaN where it does not tell; None where
            it never does.
    """

    model: str
    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    probabilities: npt.NDArray[np.float64]
    left_out: int = 0
    unknown_labels: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    no_speech: int = 0
    undecided: int = 0
    adapted_by: int = 0
    adapted_to_domain: bool = False
    intensities: npt.NDArray[np.float64] | None = None

    @property
    def intensity_auc(self) -> float | None:
        """Area under the ROC curve of strong against normal feelings; None where the corpus or model tells neither.

        Neutral clips are left out: theirs is always normal, so that telling neutral would count as telling intensity.
        """
        if self.intensities is None:
            return None
        known = [
            place
            for place, example in enumerate(self.examples)
            if example.intensity in (0.0, 1.0) and example.hard_label != "neutral" and self.intensities[place] >= 0.0
        ]
        strong = [self.examples[place].intensity == 1.0 for place in known]
        return roc_auc(strong, self.intensities[known]) if any(strong) and not all(strong) else None

    @property
    def truth(self) -> list[str]:
        """The label of each example."""
        return [example.hard_label for example in self.examples]

    @property
    def predictions(self) -> list[str]:
        """The model's label for each example."""
        return [self.labels[index] for index in self.probabilities.argmax(1)]

    @property
    def speakers(self) -> list[str]:
        """The speaker of each example."""
        return [example.speaker for example in self.examples]

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values for JSON.

        Returns:
            `n, uar, uar_ci, war, macro_f1, per_class, confusion, ece, ece_by_chance` (see `summarize`; the interval
            draws whole speakers), and `model, mean_uar` (of the corpora), `per_corpus` (with intervals, recalls and
            calibration), `per_speaker, left_out, unknown_labels, unreadable, no_speech, undecided, adapted_by,
            adapted_to_domain, intensity_auc`.
        """
        figures = summarize(self.truth, self.probabilities, self.labels, groups=self.speakers)
        per_corpus = self._per_corpus()
        return {
            **figures,
            "model": self.model,
            "mean_uar": float(np.mean([corpus["uar"] for corpus in per_corpus.values()])),
            "per_corpus": per_corpus,
            "per_speaker": self._per(self.speakers),
            "left_out": self.left_out,
            "unknown_labels": dict(self.unknown_labels),
            "unreadable": dict(self.unreadable),
            "no_speech": self.no_speech,
            "undecided": self.undecided,
            "adapted_by": self.adapted_by,
            "adapted_to_domain": self.adapted_to_domain,
            "intensity_auc": self.intensity_auc,
        }

    def _per_corpus(self) -> dict[str, dict[str, Any]]:
        names = np.array([example.corpus for example in self.examples])
        truth, speakers = np.array(self.truth), np.array(self.speakers)
        plain = self._per(names.tolist())
        for name, figures in plain.items():
            chosen = names == name
            known = summarize(
                truth[chosen].tolist(), self.probabilities[chosen], self.labels, groups=speakers[chosen].tolist()
            )
            recalls = {label: s["recall"] for label, s in known["per_class"].items() if s["support"]}
            figures |= {key: known[key] for key in ("uar_ci", "ece", "ece_by_chance")} | {"recalls": recalls}
        return plain

    def _per(self, groups: Sequence[str]) -> dict[str, dict[str, Any]]:
        truth, predictions = np.array(self.truth), np.array(self.predictions)
        figures: dict[str, dict[str, Any]] = {}
        for name in sorted(set(groups)):
            chosen = np.array([group == name for group in groups])
            matrix = confusion(truth[chosen].tolist(), predictions[chosen].tolist(), self.labels)
            figures[name] = {
                "n": int(chosen.sum()),
                "uar": uar_of(matrix),
                "war": war_of(matrix),
                "macro_f1": macro_f1_of(matrix),
            }
        return figures


def evaluate(
    model: AcousticModel,
    examples: Sequence[Example],
    *,
    labels: Sequence[str] | None = None,
    batch_size: int = 16,
    on_progress: Callable[[int, int], None] | None = None,
    unknown_labels: Mapping[str, int] | None = None,
    detector: SpeechDetector | None = None,
    adapt: int = 0,
    adapt_domain: bool = False,
    seed: int = 0,
) -> Evaluation:
    """Let a model answer every example.

    Args:
        model: to be measured.
        examples: recordings with their labels; of a soft label the largest share counts.
        labels: only these classes, in truth and answer: other examples are left out, answers renormalised. Adaptation
            takes them to be about as frequent as each other.
        batch_size: recordings that the model hears together.
        on_progress: called with the recordings done and their number.
        unknown_labels: {name: count} that the reading of the corpus found, to be passed on.
        detector: finds the speech that recordings are cut to; Silero's where left out.
        adapt: drawn other clips of the speaker, unlabelled, that each answer is adapted by; 0 for none.
        adapt_domain: adapt each answer by all clips of its corpus, unlabelled.
        seed: of those draws.

    Raises:
        TrainingDataError: where no example has one of the labels, or none of the recordings can be read.
        ModelUnavailableError: where the speech detector is missing.
        SettingsError: where the model has no embeddings to adapt by.
    """
    chosen = tuple(EMOTIONS if labels is None else (e for e in EMOTIONS if e in set(labels)))
    wanted = [example for example in examples if example.hard_label in chosen]
    if not wanted:
        found = Counter(example.hard_label for example in examples)
        raise TrainingDataError(
            f"There is nothing to evaluate: {len(examples)} examples, with the labels "
            f"{', '.join(sorted(found)) or 'none'}; needed are some of {', '.join(chosen)}."
        )
    adapted = bool(adapt or adapt_domain)
    predictions = Predictions(embedding_model(model) if adapted else model, detector or SileroDetector(), adapted)
    report = on_progress or (lambda done, total: None)
    answers = map_batches(predictions.predict, wanted, batch_size=batch_size)
    for done, (example, answer) in enumerate(zip(wanted, answers, strict=True), start=1):
        predictions.add(example, answer)
        if done % batch_size == 0 or done == len(wanted):
            report(done, len(wanted))
    if not predictions.answered:
        reason = next(iter(predictions.unreadable.values()))
        raise TrainingDataError(f"None of {len(wanted)} recordings could be read. The first one: {reason}")
    scores = (
        predictions.adapt(adapt, adapt_domain, seed, None if labels is None else chosen)
        if adapted
        else predictions.scores
    )
    probabilities, undecided = restrict(scores, chosen)
    return Evaluation(
        model=model.name,
        labels=chosen,
        examples=tuple(predictions.answered),
        probabilities=probabilities,
        left_out=len(examples) - len(wanted),
        unknown_labels=dict(unknown_labels or {}),
        unreadable=predictions.unreadable,
        no_speech=predictions.no_speech,
        undecided=undecided,
        adapted_by=adapt,
        adapted_to_domain=adapt_domain,
        intensities=np.array([np.nan if s.intensity is None else s.intensity for s in predictions.scores]),
    )


def summarize(
    truth: Sequence[str],
    probabilities: npt.ArrayLike,
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """All figures of one evaluation, as plain values for JSON.

    Args:
        truth: a label of each example, at least one.
        probabilities: shape (examples, labels); the largest of a row is its answer, the first on a tie.
        labels: names of the columns.
        groups: the speaker of each example, for the interval.
        seed: of the interval's draws.

    Returns:
        `n, uar, uar_ci [low, high], war, macro_f1, per_class, confusion {labels, matrix}, ece, ece_by_chance` (what
        a perfectly honest model of such confidence would show on so few examples).

    >>> summarize(["a", "b"], [[0.9, 0.1], [0.2, 0.8]], ["a", "b"])["uar"]
    1.0
    """
    rows = np.asarray(probabilities, dtype=np.float64)
    answers = [labels[index] for index in rows.argmax(1)]
    matrix = confusion(truth, answers, labels)
    interval = bootstrap_interval(truth, answers, labels, groups=groups, seed=seed)
    return {
        "n": len(answers),
        "uar": uar_of(matrix),
        "uar_ci": [interval.low, interval.high],
        "war": war_of(matrix),
        "macro_f1": macro_f1_of(matrix),
        "per_class": {label: asdict(scores) for label, scores in per_class(matrix, labels).items()},
        "confusion": {"labels": list(labels), "matrix": matrix.tolist()},
        "ece": ece(rows, truth, labels),
        "ece_by_chance": ece_by_chance(rows),
    }


def restrict(scores: Sequence[EmotionScores], labels: Sequence[str]) -> tuple[npt.NDArray[np.float64], int]:
    """Scores over fewer classes, renormalised.

    Args:
        scores: of each example.
        labels: the classes that remain.

    Returns:
        Shape (examples, labels), and how many rows had nothing in these classes and became uniform.

    >>> restrict([EmotionScores.from_dict({"anger": 0.2, "fear": 0.2, "sadness": 0.6})], ["anger", "fear"])
    (array([[0.5, 0.5]]), 0)
    """
    columns = [EMOTIONS.index(label) for label in labels]
    rows = np.array([score.probabilities for score in scores], dtype=np.float64)[:, columns]
    empty = rows.sum(1) <= 0
    rows[empty] = 1.0
    return rows / rows.sum(1, keepdims=True), int(empty.sum())
