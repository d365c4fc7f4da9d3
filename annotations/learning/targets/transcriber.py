"""Fine-tunes the speech recogniser on corrected transcripts, compared by word errors on held-out speakers.

See `annotations.learning.trainer`.
"""

from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np

from annotations.learning.config import RetrainingConfig
from annotations.learning.promotion.comparison import compare_rates
from annotations.learning.promotion.decision import Decision, PromotionRule
from annotations.learning.promotion.gate import needed_words, reason_of, spend, what_is_needed
from annotations.learning.promotion.holdout import Holdout
from annotations.learning.promotion.objections import objection_to_gain
from annotations.learning.targets.text import with_words
from annotations.learning.trainer import TrainingJob
from annotations.store import AnnotationStore
from annotations.store.new_records import NewVersion
from annotations.store.records import FeedbackExample
from ser.audio.decoding import decode_file
from ser.checkpoints.hub import cached_checkpoint, hub_reachable, resolve_checkpoint
from ser.config import EMBEDDED
from ser.encoder.weights import find_weights
from ser.errors import ModelUnavailableError, TrainingCancelledError, TrainingDataError
from ser.text.data import as_transcript
from ser.training.gradients.processes import Processes
from ser.training.gradients.task import Surroundings
from ser.transcription.checkpoint import load_checkpoint
from ser.transcription.training import LONGEST, SpokenText, TranscriberTrainConfig, check_count, train_transcriber
from ser.types import SpeechRegion

MIN_HELD_OUT = 8

EPOCHS = {"quick": 3, "thorough": 10}


class TranscriberTrainer:
    """Trainer of the speech recogniser. After a kill it starts again, with the same weights."""

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        """Require a recogniser that can be trained, and enough corrected transcripts to train on and to compare by."""
        if not _to_be_downloaded(config.base):
            checkpoint_of(config.base)
        short = [example for example in with_words(holdout.training) if example.clip.duration <= LONGEST]
        check_count(len(short))
        _transcribed(holdout.held_out)

    def train(self, job: TrainingJob) -> NewVersion:
        """Train the current checkpoint on, on the clips of the training side whose words somebody wrote down."""
        folder = checkpoint_of(job.base)
        written = with_words(job.holdout.training)
        missing = len(job.holdout.training) - len(written)
        job.say(
            f"Training on {len(written)} clip{'' if len(written) == 1 else 's'} with a written transcript; without "
            "one: "
            f"{missing}."
        )
        clips = [
            SpokenText(decode_file(job.store.clip_path(e.clip)), e.transcript or "", e.clip.language) for e in written
        ]
        meta = train_transcriber(
            folder,
            clips,
            job.model_dir,
            name=job.name,
            around=Surroundings(Processes(job.device), None, job.on_progress, job.should_stop),
            config=TranscriberTrainConfig(epochs=EPOCHS[job.config.preset], seed=job.config.seed),
            data={**job.facts(), "clips_without_transcript": missing},
        )
        return job.new_version(meta.sha256, {"training_clips": len(written), "clips_without_transcript": missing})

    def compare(self, job: TrainingJob, version: NewVersion) -> Decision:
        """Transcribe the held-out clips with both recognisers and compare their word errors."""
        written = _transcribed(job.holdout.held_out)
        said = [as_transcript(example.transcript or "") for example in written]
        before, after = (
            transcripts(job, folder, written) for folder in (checkpoint_of(job.base), job.store.data_dir / version.path)
        )
        return compare_transcripts(
            said,
            before,
            after,
            [example.group for example in written],
            job.config.rule,
            unit=job.holdout.unit,
            looks=job.holdout.looks,
        )


def _transcribed(held_out: Sequence[FeedbackExample]) -> list[FeedbackExample]:
    """The held-out clips with a corrected transcript.

    Raises:
        TrainingDataError: if they are too few, with the number needed.
    """
    written = with_words(held_out)
    if len(written) < MIN_HELD_OUT:
        raise TrainingDataError(
            f"Held-out clips with a corrected transcript to measure word errors on: {len(written)}; "
            f"{MIN_HELD_OUT} are needed. Write the words of more clips, of other speakers."
        )
    return written


def checkpoint_of(base: str) -> Path:
    """The folder of the speech recogniser that training starts from.

    Raises:
        TrainingDataError: if there is none.
    """
    try:
        return find_weights() if base == EMBEDDED else resolve_checkpoint(base)
    except ModelUnavailableError as error:
        raise TrainingDataError(
            f"The speech recogniser {base} cannot be trained, as it is not at hand: {error} To train the embedded one "
            "set SER_TRANSCRIBER to 'embedded'."
        ) from error


def _to_be_downloaded(base: str) -> bool:
    """True if the training process has to download it; the person who asks does not wait for that."""
    is_path = base.startswith((".", "/", "~", "\\")) or base.count("/") > 1
    known = base == EMBEDDED or is_path or Path(base).expanduser().exists()
    return not known and cached_checkpoint(base) is None and hub_reachable()


def transcripts(job: TrainingJob, folder: Path, examples: Sequence[FeedbackExample]) -> list[str]:
    """Transcribe whole clips; words as `as_transcript` has them.

    Raises:
        TrainingCancelledError: when asked to stop.
    """
    transcriber = load_checkpoint(folder, job.device)
    written = []
    for example in examples:
        if job.should_stop():
            raise TrainingCancelledError("Stopped before the comparison was done.")
        audio = decode_file(job.store.clip_path(example.clip))
        written.append(as_transcript(transcriber.transcribe(audio, (SpeechRegion(0.0, audio.duration),)).text))
    return written


def compare_transcripts(
    said: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    groups: Sequence[str],
    rule: PromotionRule = PromotionRule(),  # noqa: B008  # Frozen: one default for all calls.
    *,
    unit: str = "speaker",
    looks: float = 0.0,
) -> Decision:
    """Decide if a recogniser may replace another: by word error rate over all words, paired clip by clip.

    Args:
        said: correct transcript of each clip, none of them empty.
        before: transcripts of the current recogniser.
        after: transcripts of the candidate.
        groups: speaker of each.
        rule: the conditions; `min_gain` is the least drop of the word error rate.
        unit: as in `Answers`.
        looks: as in `gate.decide`.

    >>> said = ["the door is open"] * 20
    >>> compare_transcripts(said, ["the floor"] * 20, said, ["s"] * 20).promoted
    True
    >>> compare_transcripts(said, said, said, ["s"] * 20).promoted
    False
    """
    words = np.array([len(text.split()) for text in said], dtype=np.float64)
    errors = [word_errors(said, written) for written in (before, after)]
    rates = [float(some.sum() / words.sum()) for some in errors]
    alpha, speakers = spend(1 - rule.confidence, looks), len(set(groups))
    found = compare_rates(errors[0], errors[1], words, groups, alpha, seed=rule.seed)
    low, high = found.low, found.high
    objection = objection_to_gain(found, rule, alpha, looks)
    needed = what_is_needed(found, len(said), speakers, alpha, rule.min_gain) if objection else None
    figures = (
        f"word error rate {rates[0]:.1%} to {rates[1]:.1%} ({100 * found.gain:+.1f} points fewer errors "
        f"[{100 * low:+.1f}, {100 * high:+.1f}]) on {len(said)} held-out clips with {words.sum():.0f} words of "
        f"{speakers} {'speaker' if speakers == 1 else 'speakers'}"
    )
    counts: dict[str, object] = {"clips": len(said), "words": int(words.sum())}
    return Decision(
        promoted=objection is None,
        reason=reason_of(objection, [figures, needed_words(needed)]),
        before={**counts, "wer": round(rates[0], 4)},
        after={**counts, "wer": round(rates[1], 4)},
        gain=found.gain,
        low=low,
        high=high,
        p_value=found.p_value,
        alpha=alpha,
        looks=looks,
        unit=unit,
        speakers=speakers,
        needed=needed,
    )


def word_errors(said: Sequence[str], written: Sequence[str]) -> np.ndarray:
    """Substitutions, deletions and insertions of each clip, shape (clips,).

    >>> word_errors(["the door is open"], ["the floor open"]).tolist()
    [2.0]
    """
    counted = [jiwer.process_words(one, other) for one, other in zip(said, written, strict=True)]
    return np.array([c.substitutions + c.deletions + c.insertions for c in counted], dtype=np.float64)
