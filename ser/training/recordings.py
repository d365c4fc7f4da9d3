"""Examples -> their speech in memory, for models that hear the waveform itself. Knows no network."""

from collections.abc import Sequence
from dataclasses import dataclass

from ser.audio.decoding import decode_file
from ser.audio.vad import SileroDetector, trim_to_speech
from ser.errors import AudioError, TrainingCancelledError, TrainingDataError
from ser.training.progress import OnProgress, ShouldStop, TrainProgress
from ser.types import Example, Signal, SpeechDetector


@dataclass(frozen=True)
class Watch:
    """Who is told, and who may stop the run."""

    on_progress: OnProgress | None
    should_stop: ShouldStop | None

    def report(self, progress: TrainProgress) -> None:
        """Tell of it, and stop where that is wished; raises TrainingCancelledError then."""
        if self.on_progress is not None:
            self.on_progress(progress)
        if self.should_stop is not None and self.should_stop():
            raise TrainingCancelledError("Training was stopped.")


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
    detector: SpeechDetector | None = None,
    on_progress: OnProgress | None = None,
    should_stop: ShouldStop | None = None,
) -> Recordings:
    """Decode examples and cut them to their speech.

    Args:
        examples: whose files are read.
        tolerated: share of them that may be unusable.
        detector: of speech; Silero's where left out.
        on_progress: told after every recording, as stage `preparing`.
        should_stop: asked just as often.

    Raises:
        TrainingDataError: where more of them are unusable; names the first.
        TrainingCancelledError: when asked to stop.
    """
    hears = detector or SileroDetector()
    watch = Watch(on_progress, should_stop)
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
            signals.append(trim_to_speech(audio, hears.detect(audio)).signal)
        watch.report(TrainProgress(0, 0, number, len(examples), None, None, None, stage="preparing"))
    if len(skipped) > tolerated * len(examples):
        raise TrainingDataError(f"{len(skipped)} of {len(examples)} recordings cannot be used. First: {skipped[0]}")
    return Recordings(tuple(usable), tuple(signals), tuple(skipped))
