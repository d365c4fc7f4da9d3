"""The base corpora beside a run on feedback: which of their clips are learnt again, and which judge."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from annotations.learning.decision import Standing
from ser.acoustic.network import AcousticModelForAudioClassification
from ser.corpora import load_corpus
from ser.splits import draw_dev_speakers
from ser.training.dataset import FeatureSet
from ser.training.loop import predict_logits, uar_by_corpus
from ser.training.preparation import Preparation, default_cache_dir, prepare
from ser.training.recipe import RESERVED_SPEAKERS
from ser.types import Example

REPLAYED = 600
"""Clips of each corpus that are learnt again, at most."""

JUDGING = 300
"""Clips of each corpus that judge, at most."""

JUDGING_SHARE = 0.15
"""Of a corpus without reserved speakers, about so much judges: whole speakers."""

TOLERATED = 0.01
"""Share of the recordings that may be unusable (too short, silent)."""


@dataclass(frozen=True)
class BaseCorpora:
    """Clips of what a network was trained on before.

    Attributes:
        replayed: to be learnt again.
        judging: of other speakers: what is answered to them says whether the base was forgotten.
    """

    replayed: list[Example] = field(default_factory=list)
    judging: list[Example] = field(default_factory=list)

    @classmethod
    def read(cls, folders: Sequence[Path], seed: int) -> "BaseCorpora":
        """Read corpora and draw from them; the same seed draws the same clips.

        The reserved speakers judge. Where a corpus has none of them, some of its speakers do, though the network in use
        may know these: a new one that does not learn them again has the harder part.

        Args:
            folders: of the corpora.
            seed: of the draws.

        Raises:
            TrainingDataError: where a folder cannot be read.
        """
        draw = np.random.default_rng(seed)
        base = cls()
        for folder in folders:
            known = load_corpus(folder)
            judges = {example.speaker for example in known} & set(RESERVED_SPEAKERS)
            judges = judges or draw_dev_speakers(known, JUDGING_SHARE, seed)
            for part, most, judging in ((base.replayed, REPLAYED, False), (base.judging, JUDGING, True)):
                own = [example for example in known if (example.speaker in judges) is judging]
                part += [own[n] for n in sorted(draw.permutation(len(own))[:most].tolist())]
        return base


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
