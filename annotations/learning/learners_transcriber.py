"""Teaches the speech recogniser from transcripts that people corrected; judged by word errors on voices new to it.

See `annotations.learning.learners`.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import jiwer
import numpy as np

from annotations.learning.config import RetrainingConfig
from annotations.learning.decision import Decision, Needed
from annotations.learning.gate import spend
from annotations.learning.holdout import HELD_OUT_SHARE, Holdout
from annotations.learning.learners import Lesson
from annotations.learning.learners_text import with_words
from annotations.learning.mean_gain import chance, interval
from annotations.records import FeedbackExample
from annotations.store import AnnotationStore
from annotations.training_records import NewVersion
from ser.audio import decode_file
from ser.errors import ModelUnavailableError, TrainingCancelledError, TrainingDataError
from ser.hub import cached_checkpoint, hub_reachable, resolve_checkpoint
from ser.text.data import as_transcript
from ser.training.progress import TrainProgress
from ser.transcription.checkpoint import load_checkpoint
from ser.transcription.training import LONGEST, SpokenText, TranscriberTrainConfig, check_count, train_transcriber
from ser.types import SpeechRegion

MIN_HELD_OUT = 8

EPOCHS = {"quick": 3, "thorough": 10}


class TranscriberLearner:
    """See `annotations.learning.learners.Learner`. What was killed is done again, to the same weights."""

    def check(self, store: AnnotationStore, holdout: Holdout, config: RetrainingConfig) -> None:
        """A recogniser that can be taught, and enough corrected transcripts on both sides."""
        if not _to_be_downloaded(config.base):
            checkpoint_of(config.base)
        short = [example for example in with_words(holdout.training) if example.clip.duration <= LONGEST]
        check_count(len(short))
        _judges(holdout.held_out)

    def learn(self, lesson: Lesson) -> NewVersion:
        """Train the checkpoint in use on, on the clips of the training side whose words somebody wrote down."""
        folder = checkpoint_of(lesson.base)
        written = with_words(lesson.holdout.training)
        missing = len(lesson.holdout.training) - len(written)
        lesson.say(f"Learning from {len(written)} clips with a written transcript; {missing} have none.")
        clips = [
            SpokenText(decode_file(lesson.store.clip_path(e.clip)), e.transcript or "", e.clip.language)
            for e in written
        ]
        config = TranscriberTrainConfig(epochs=EPOCHS[lesson.config.preset])
        started, per_epoch = time.monotonic(), math.ceil(len(clips) / config.batch_size) or 1

        def on_step(step: int, steps: int, loss: float) -> None:
            left = (time.monotonic() - started) / step * (steps - step)
            epoch, done = 1 + (step - 1) // per_epoch, step % per_epoch == 0
            lesson.on_progress(
                TrainProgress(epoch, config.epochs, step, steps, round(loss, 4), None, left, epoch_done=done)
            )

        sha256 = train_transcriber(
            folder,
            clips,
            lesson.model_dir,
            name=lesson.name,
            config=config,
            device=lesson.device,
            seed=lesson.config.seed,
            data={**lesson.facts(), "clips_without_transcript": missing},
            on_step=on_step,
            should_stop=lesson.should_stop,
        )
        return lesson.new_version(sha256, {"training_clips": len(written), "clips_without_transcript": missing})

    def compare(self, lesson: Lesson, version: NewVersion) -> Decision:
        """Both recognisers write down the held-out clips."""
        written = _judges(lesson.holdout.held_out)
        said = [as_transcript(example.transcript or "") for example in written]
        heard = [
            transcripts(lesson, folder, written)
            for folder in (checkpoint_of(lesson.base), lesson.store.data_dir / version.path)
        ]
        return judge_transcripts(
            said,
            heard[0],
            heard[1],
            [example.group for example in written],
            confidence=lesson.config.confidence,
            min_gain=lesson.config.min_gain,
            seed=lesson.config.seed,
            unit=lesson.holdout.unit,
            looks=lesson.holdout.looks,
        )


def _judges(held_out: Sequence[FeedbackExample]) -> list[FeedbackExample]:
    """The held-out clips whose words somebody wrote down.

    Raises:
        TrainingDataError: where they are too few, with the number needed.
    """
    written = with_words(held_out)
    if len(written) < MIN_HELD_OUT:
        raise TrainingDataError(
            f"{len(written)} held-out clips have a written transcript to judge the speech recogniser by; "
            f"{MIN_HELD_OUT} are needed. Write the words of more clips, of other speakers."
        )
    return written


def checkpoint_of(base: str) -> Path:
    """The folder of the speech recogniser that training starts from.

    Raises:
        TrainingDataError: where there is none that can be taught.
    """
    try:
        return resolve_checkpoint(base)
    except ModelUnavailableError as error:
        raise TrainingDataError(
            f"The embedded recogniser, pocketsphinx, cannot be taught, and {base} is not at hand ({error}) Name the "
            "folder of a Whisper or wav2vec2 checkpoint with SER_WHISPER_MODEL and begin again."
        ) from error


def _to_be_downloaded(base: str) -> bool:
    """Whether the training process will fetch it: the one who asks is not to wait for that."""
    known = Path(base).expanduser().exists() or base.startswith((".", "/", "~", "\\")) or base.count("/") > 1
    return not known and cached_checkpoint(base) is None and hub_reachable()


def transcripts(lesson: Lesson, folder: Path, examples: Sequence[FeedbackExample]) -> list[str]:
    """What a recogniser writes for clips, as `as_transcript` has it; clips are heard whole.

    Raises:
        TrainingCancelledError: when asked to stop.
    """
    transcriber = load_checkpoint(folder, lesson.device)
    heard = []
    for example in examples:
        if lesson.should_stop():
            raise TrainingCancelledError("Stopped before the comparison was done.")
        audio = decode_file(lesson.store.clip_path(example.clip))
        heard.append(as_transcript(transcriber.transcribe(audio, (SpeechRegion(0.0, audio.duration),)).text))
    return heard


def judge_transcripts(
    said: Sequence[str],
    before: Sequence[str],
    after: Sequence[str],
    groups: Sequence[str],
    *,
    confidence: float,
    min_gain: float,
    seed: int = 0,
    unit: str = "speaker",
    looks: float = 0.0,
) -> Decision:
    """Whether a recogniser may replace another: by word error rate over all words, paired clip by clip.

    Args:
        said: what was truly said in each clip, none of them empty.
        before: what the recogniser in use writes.
        after: what the new one writes.
        groups: who speaks in each.
        confidence: one-sided, 0.5..1.
        min_gain: least fall of the word error rate, 0..1.
        seed: of the draws.
        unit: as in `gate.decide`.
        looks: likewise.

    >>> said = ["the door is open"] * 20
    >>> judge_transcripts(said, ["the floor"] * 20, said, ["s"] * 20, confidence=0.95, min_gain=0.01).promoted
    True
    >>> judge_transcripts(said, said, said, ["s"] * 20, confidence=0.95, min_gain=0.01).promoted
    False
    """
    words = np.array([len(text.split()) for text in said], dtype=np.float64)
    errors = [word_errors(said, heard) for heard in (before, after)]
    rates = [float(some.sum() / words.sum()) for some in errors]
    saved, gain, alpha = errors[0] - errors[1], rates[0] - rates[1], spend(1 - confidence, looks)
    low, high = interval(saved, groups, alpha, seed, words)
    p_value = chance(saved, seed)
    sure = low > 0 and p_value <= alpha
    promoted = sure and gain >= min_gain
    speakers = len(set(groups))
    figures = (
        f"word error rate {rates[0]:.1%} to {rates[1]:.1%} ({100 * gain:+.1f} points fewer errors "
        f"[{100 * low:+.1f}, {100 * high:+.1f}]) on {len(said)} held-out clips with {words.sum():.0f} words of "
        f"{speakers} {'speaker' if speakers == 1 else 'speakers'}"
    )
    needed = None
    if promoted:
        reason = f"Promoted: {figures}."
    elif gain <= 0:
        reason = f"Refused: no fewer word errors than the recogniser in use; {figures}."
    elif sure:
        reason = f"Refused: the gain is under {100 * min_gain:.0f} point; {figures}."
    else:
        # The interval narrows with the root of the number of clips; a tenth more, so that the bound is passed.
        more = max(1, math.ceil(len(said) * (1.1 * max(1.0, (gain - low) / gain) ** 2 - 1)))
        needed = Needed(more, 1, math.ceil(more / HELD_OUT_SHARE))
        reason = f"Refused: the gain may be chance; {figures}; about {more} more held-out clips would settle it."
    counts: dict[str, object] = {"clips": len(said), "words": int(words.sum())}
    return Decision(
        promoted=promoted,
        reason=reason,
        before={**counts, "wer": round(rates[0], 4)},
        after={**counts, "wer": round(rates[1], 4)},
        gain=gain,
        low=low,
        high=high,
        p_value=p_value,
        alpha=alpha,
        looks=looks,
        unit=unit,
        speakers=speakers,
        needed=needed,
    )


def word_errors(said: Sequence[str], heard: Sequence[str]) -> np.ndarray:
    """Substitutions, deletions and insertions of each clip, shape (clips,).

    >>> word_errors(["the door is open"], ["the floor open"]).tolist()
    [2.0]
    """
    counted = [jiwer.process_words(one, other) for one, other in zip(said, heard, strict=True)]
    return np.array([c.substitutions + c.deletions + c.insertions for c in counted], dtype=np.float64)
