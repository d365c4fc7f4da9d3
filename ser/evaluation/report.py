"""Evaluation of an acoustic model on labelled recordings, with nothing dropped in silence.

Takes each recording as recognition does: decoded, cut to its speech, classified. Knows nothing of training.
"""

import importlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ser.audio.batching import map_batches
from ser.audio.vad import SileroDetector
from ser.errors import AudioError, TrainingDataError
from ser.evaluation.metrics import (
    Matrix,
    bootstrap_interval,
    confusion,
    ece,
    ece_by_chance,
    macro_f1_of,
    per_class,
    uar_of,
    war_of,
)
from ser.evaluation.predictions import Adaptation, Prediction, adapt_predictions, adaptable_model, predict_batch
from ser.labels import EMOTIONS
from ser.protocols import AcousticModel, SpeechDetector
from ser.types import EmotionScores, Example


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's answers on a set of examples, and their figures.

    Attributes:
        model: its name.
        labels: the classes in question, in `EMOTIONS` order.
        examples: those that were answered, in the order given.
        probabilities: shape (examples, labels), rows that sum to 1.
        left_out: examples whose label is none of `labels`.
        unreadable: {file: reason} of recordings that could not be decoded.
        no_speech: answered recordings in which no speech was found; they were classified whole.
        undecided: examples to all of whose `labels` the model gave nothing; their answer is uniform.
        adaptation: of the answers.
        intensities: predicted, shape (examples,), NaN if the model predicts none; None if it never does.
    """

    model: str
    labels: tuple[str, ...]
    examples: tuple[Example, ...]
    probabilities: npt.NDArray[np.float64]
    left_out: int = 0
    unreadable: Mapping[str, str] = field(default_factory=dict)
    no_speech: int = 0
    undecided: int = 0
    adaptation: Adaptation = field(default_factory=Adaptation)
    intensities: npt.NDArray[np.float64] | None = None

    @property
    def intensity_auc(self) -> float | None:
        """Area under the ROC curve of strong against normal feelings; None without intensities in both.

        Neutral clips are left out: theirs is always normal, so that recognising neutral would count here.
        """
        if self.intensities is None:
            return None
        known = [
            place
            for place, example in enumerate(self.examples)
            if example.intensity in (0.0, 1.0) and example.hard_label != "neutral" and self.intensities[place] >= 0.0
        ]
        strong = [self.examples[place].intensity == 1.0 for place in known]
        if all(strong) or not any(strong):
            return None
        # Loading scikit-learn takes a second, and few corpora have intensities.
        return float(importlib.import_module("sklearn.metrics").roc_auc_score(strong, self.intensities[known]))

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
            calibration), `per_speaker, left_out, unreadable, no_speech, undecided, adapted_by, adapted_to_domain,
            intensity_auc`.
        """
        figures = summarize(self.truth, self.probabilities, self.labels, groups=self.speakers)
        per_corpus = self._per_corpus()
        return {
            **figures,
            "model": self.model,
            "mean_uar": float(np.mean([corpus["uar"] for corpus in per_corpus.values()])),
            "per_corpus": per_corpus,
            "per_speaker": self._per_speaker(),
            "left_out": self.left_out,
            "unreadable": dict(self.unreadable),
            "no_speech": self.no_speech,
            "undecided": self.undecided,
            "adapted_by": self.adaptation.clips,
            "adapted_to_domain": self.adaptation.to_corpus,
            "intensity_auc": self.intensity_auc,
        }

    def _per_corpus(self) -> dict[str, dict[str, Any]]:
        found = {}
        for name, chosen in _members([example.corpus for example in self.examples]):
            truth, speakers = ([values[row] for row in chosen] for values in (self.truth, self.speakers))
            figures = summarize(truth, self.probabilities[chosen], self.labels, groups=speakers)
            recalls = {label: scores["recall"] for label, scores in figures["per_class"].items() if scores["support"]}
            kept = ("n", "uar", "war", "macro_f1", "uar_ci", "ece", "ece_by_chance")
            found[name] = {**{key: figures[key] for key in kept}, "recalls": recalls}
        return found

    def _per_speaker(self) -> dict[str, dict[str, Any]]:
        truth, answers = self.truth, self.predictions
        return {
            name: _recall_figures(confusion([truth[row] for row in rows], [answers[row] for row in rows], self.labels))
            for name, rows in _members(self.speakers)
        }


def evaluate(
    model: AcousticModel,
    examples: Sequence[Example],
    *,
    labels: Sequence[str] | None = None,
    batch_size: int = 16,
    on_progress: Callable[[int, int], None] | None = None,
    detector: SpeechDetector | None = None,
    adaptation: Adaptation | None = None,
) -> Evaluation:
    """Let a model answer every example.

    Args:
        model: to be measured.
        examples: recordings with their labels; of a soft label the largest share counts.
        labels: only these classes, in truth and answer: other examples are left out, answers renormalised. Adaptation
            takes them to be about as frequent as each other.
        batch_size: recordings that the model takes together.
        on_progress: called with the recordings done and their number.
        detector: finds the speech that recordings are cut to; Silero's by default.
        adaptation: of the answers by unlabelled clips; None for none.

    Raises:
        TrainingDataError: if no example has one of the labels, or none of the recordings can be read.
        ModelUnavailableError: if the speech detector is missing.
        SettingsError: if the model has no embeddings to adapt by.
    """
    chosen = tuple(EMOTIONS if labels is None else (e for e in EMOTIONS if e in set(labels)))
    wanted = _labelled(examples, chosen)
    how = adaptation or Adaptation()
    even_labels = None if labels is None else chosen
    adapted = adaptable_model(model, even_labels) if how else None
    answered, unreadable = _predict_all(
        partial(predict_batch, model=model, detector=detector or SileroDetector(), embed=bool(how)),
        wanted,
        batch_size,
        on_progress or (lambda done, total: None),
    )
    known, predictions = zip(*answered, strict=True)
    scores = [prediction.scores for prediction in predictions]
    shown = adapt_predictions(adapted, known, predictions, how, even_labels) if adapted else scores
    probabilities, undecided = restrict(shown, chosen)
    return Evaluation(
        model=model.name,
        labels=chosen,
        examples=known,
        probabilities=probabilities,
        left_out=len(examples) - len(wanted),
        unreadable=unreadable,
        no_speech=sum(not prediction.spoke for prediction in predictions),
        undecided=undecided,
        adaptation=how,
        intensities=np.array([np.nan if s.intensity is None else s.intensity for s in scores]),
    )


def _labelled(examples: Sequence[Example], chosen: Sequence[str]) -> list[Example]:
    wanted = [example for example in examples if example.hard_label in chosen]
    if not wanted:
        found = Counter(example.hard_label for example in examples)
        raise TrainingDataError(
            f"There is nothing to evaluate: {len(examples)} example{'' if len(examples) == 1 else 's'}, with the "
            "labels "
            f"{', '.join(sorted(found)) or 'none'}; needed are some of {', '.join(chosen)}."
        )
    return wanted


def _predict_all(
    predict: Callable[[Sequence[Example]], Sequence[Prediction | AudioError]],
    examples: Sequence[Example],
    batch_size: int,
    on_progress: Callable[[int, int], None],
) -> tuple[list[tuple[Example, Prediction]], dict[str, str]]:
    """Predict in batches; the answered examples with their answers, and {file: reason} of the others.

    Raises:
        TrainingDataError: if none of the recordings can be read.
    """
    answered, unreadable = list[tuple[Example, Prediction]](), dict[str, str]()
    answers = map_batches(predict, examples, batch_size=batch_size)
    for done, (example, answer) in enumerate(zip(examples, answers, strict=True), start=1):
        if isinstance(answer, AudioError):
            unreadable[str(example.path)] = str(answer)
        else:
            answered.append((example, answer))
        if done % batch_size == 0 or done == len(examples):
            on_progress(done, len(examples))
    if not answered:
        reason = next(iter(unreadable.values()))
        raise TrainingDataError(
            f"None of {len(examples)} recording{'' if len(examples) == 1 else 's'} could be read. The first one: "
            f"{reason}"
        )
    return answered, unreadable


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
        a perfectly calibrated model of such confidence would show on so few examples).

    >>> summarize(["a", "b"], [[0.9, 0.1], [0.2, 0.8]], ["a", "b"])["uar"]
    1.0
    """
    rows = np.asarray(probabilities, dtype=np.float64)
    answers = [labels[index] for index in rows.argmax(1)]
    matrix = confusion(truth, answers, labels)
    interval = bootstrap_interval(truth, answers, labels, groups=groups, seed=seed)
    recall = _recall_figures(matrix)
    return {
        **{"n": recall["n"], "uar": recall["uar"], "uar_ci": [interval.low, interval.high]},
        **{"war": recall["war"], "macro_f1": recall["macro_f1"]},
        "per_class": {label: asdict(scores) for label, scores in per_class(matrix, labels).items()},
        "confusion": {"labels": list(labels), "matrix": matrix.tolist()},
        "ece": ece(rows, truth, labels),
        "ece_by_chance": ece_by_chance(rows),
    }


def _recall_figures(matrix: Matrix) -> dict[str, Any]:
    return {"n": int(matrix.sum()), "uar": uar_of(matrix), "war": war_of(matrix), "macro_f1": macro_f1_of(matrix)}


def _members(groups: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The groups by name, each with the places of its members."""
    return [(name, [place for place, group in enumerate(groups) if group == name]) for name in sorted(set(groups))]


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
