"""Examples and their speech in memory, for models that take the waveform. Knows no network."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ser.audio.decoding import decode_file
from ser.audio.vad import SileroDetector, trim_to_speech
from ser.errors import AudioError, TrainingCancelledError, TrainingDataError
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.types import Example, Signal


@dataclass(frozen=True)
class Recordings:
    """Examples with their speech in memory.

    Attributes:
        examples: those that could be read.
        signals: of each, cut to its speech, float32 of shape (samples,) at 16 kHz.
        skipped: a sentence on each of the others.
    """

    examples: tuple[Example, ...]
    signals: tuple[Signal, ...]
    skipped: tuple[str, ...] = ()


def read_recordings(
    examples: Sequence[Example],
    *,
    tolerated: float = 0.0,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Recordings:
    """Decode examples and cut them to their speech.

    Args:
        examples: whose files are read.
        tolerated: share of them that may be unusable.
        on_progress: called after every recording, with stage `preparing`.
        should_stop: asked just as often.

    Raises:
        TrainingDataError: if more of them are unusable; names the first.
        TrainingCancelledError: when asked to stop.
    """
    detector = SileroDetector()
    usable: list[Example] = []
    signals: list[Signal] = []
    skipped: list[str] = []
    for number, example in enumerate(examples, start=1):
        try:
            audio = decode_file(example.path)
        except AudioError as error:
            skipped.append(f"{example.path}: {error}")
        else:
            usable.append(example)
            signals.append(trim_to_speech(audio, detector.detect(audio)).signal)
        if on_progress is not None:
            on_progress(TrainProgress(0, 0, number, len(examples), None, None, None, stage="preparing"))
        if should_stop is not None and should_stop():
            raise TrainingCancelledError("Training was stopped.")
    if len(skipped) > tolerated * len(examples):
        raise TrainingDataError(
            f"Recordings that cannot be used: {len(skipped)} of {len(examples)}. First: {skipped[0]}"
        )
    return Recordings(tuple(usable), tuple(signals), tuple(skipped))


def describe(examples: Sequence[Example], dev: Sequence[Example] = ()) -> dict[str, object]:
    """Describe training data for meta.json: counts, labels, speakers."""
    return {
        "clips": dict(Counter(example.corpus for example in examples)),
        "labels": dict(sorted(Counter(example.hard_label for example in examples).items())),
        "speakers": sorted({example.speaker for example in examples}),
        "dev_speakers": sorted({example.speaker for example in dev}),
        "dev_clips": len(dev),
    }
