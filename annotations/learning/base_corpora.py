"""The base corpora beside a run on feedback: which of their clips are learnt again, and which judge."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from annotations.learning.decision import Standing
from annotations.learning.learners import Lesson
from ser.acoustic.network import AcousticModelForAudioClassification
from ser.corpora import load_corpus
from ser.training.dataset import FeatureSet
from ser.training.loop import predict_logits, uar_by_corpus
from ser.training.preparation import Preparation, default_cache_dir, prepare
from ser.training.recipe import RESERVED_SPEAKERS
from ser.types import Example

REPLAYED = 600
"""Clips of each corpus that are learnt again, at most."""

JUDGING = 150
"""Clips of each corpus that judge, at most, and as many that are watched."""

JUDGING_SHARE = 0.15
"""Of the clips of a corpus without reserved speakers, so much judges at most."""

TOLERATED = 0.01
"""Share of the recordings that may be unusable (too short, silent)."""


@dataclass(frozen=True)
class BaseCorpora:
    """Clips of what a network was trained on before.

    Attributes:
        replayed: to be learnt again.
        watching: of reserved speakers: training goes no further than they allow.
        judging: other clips of those: what is answered to them says in the end whether the base was forgotten.
    """

    replayed: list[Example] = field(default_factory=list)
    watching: list[Example] = field(default_factory=list)
    judging: list[Example] = field(default_factory=list)

    @classmethod
    def read(cls, folders: Sequence[Path], seed: int, without: Collection[str] = ()) -> "BaseCorpora":
        """Read corpora and draw from them; the same seed draws the same clips.

        The reserved speakers judge. Where a corpus has none of them, some of its clips do, which are not learnt again
        while their speakers are. The network in use may know these very clips by heart, so they count in the comparison
        alone, where a new one has the harder part, and training is not held back by them.

        Args:
            folders: of the corpora.
            seed: of the draws.
            without: speakers to leave out, as they are in the feedback.

        Raises:
            TrainingDataError: where a folder cannot be read.
        """
        draw = np.random.default_rng(seed)
        base = cls()
        for folder in folders:
            known = [example for example in load_corpus(folder) if example.speaker not in without]
            taught = [example for example in known if example.speaker not in RESERVED_SPEAKERS]
            unheard = [example for example in known if example.speaker in RESERVED_SPEAKERS]
            order, others = (draw.permutation(len(side)).tolist() for side in (taught, unheard))
            aside = 0 if unheard else min(JUDGING, int(JUDGING_SHARE * len(taught)))
            base.replayed.extend([taught[n] for n in sorted(order[aside : aside + REPLAYED])])
            base.watching.extend([unheard[n] for n in sorted(others[: 2 * JUDGING : 2])])
            base.judging.extend([unheard[n] for n in sorted(others[1 : 2 * JUDGING : 2])])
            base.judging.extend([taught[n] for n in sorted(order[:aside])])
        return base


def speakers_of(lesson: Lesson) -> set[str]:
    """Who speaks in a lesson's feedback, on any side."""
    holdout = lesson.holdout
    return {e.group for e in (*holdout.training, *holdout.held_out, *holdout.reserved, *holdout.gold)}


def base_features(examples: Sequence[Example], should_stop: Callable[[], bool]) -> FeatureSet | None:
    """Features of clips of the base, kept in the user's cache folder; None of no clips.

    Raises:
        TrainingDataError: where they cannot be read.
        TrainingCancelledError: when asked to stop.
    """
    how = Preparation(cache_dir=default_cache_dir(), tolerated=TOLERATED, should_stop=should_stop)
    return prepare(examples, how) if examples else None


def standing_on_base(
    before: AcousticModelForAudioClassification, after: AcousticModelForAudioClassification, judging: FeatureSet
) -> Standing:
    """How two networks do on clips of the base that neither is to have learnt: mean over the corpora of their UAR."""
    figures = [uar_by_corpus(predict_logits(network, judging), judging) for network in (before, after)]
    means = [float(np.mean(list(by_corpus.values()))) for by_corpus in figures]
    return Standing("base test", means[0], means[1], len(judging))
