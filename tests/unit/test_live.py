"""A stream of sound that is answered while it comes, and how many of them at once."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from ser.errors import AudioError
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, FixedTranscriber, WordListModel, synthetic_speech
from ser.timeline.live import LiveAnswer, LiveTimeline
from ser.types import SAMPLING_RATE, Audio, Signal, SpeechRegion
from ui.backend.turns import BusyError
from ui.recognize.live import live_html, missing_line, to_float
from ui.recognize.live_streams import LiveStreams


class LoudDetector:
    """Finds every stretch of loud sound, as a real detector does."""

    name = "loud"

    def detect(self, audio: Audio) -> tuple[SpeechRegion, ...]:
        frames = audio.signal[: len(audio.signal) // 1600 * 1600].reshape(-1, 1600)
        loud = np.flatnonzero(
            np.diff(np.concatenate([[0], np.abs(frames).max(1, initial=0.0) > 0.01, [0]]).astype(int))
        )
        return tuple(SpeechRegion(a / 10, b / 10) for a, b in zip(loud[::2], loud[1::2], strict=True))


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def live(executor: ThreadPoolExecutor) -> LiveTimeline:
    recognizer = Recognizer(
        LoudDetector(), BandEnergyModel(), WordListModel(), FixedTranscriber("what a wonderful day")
    )
    return recognizer.live(executor)


def quiet(seconds: float) -> Signal:
    return np.zeros(round(seconds * SAMPLING_RATE), np.float32)


def said(seconds: float, seed: int = 0) -> Signal:
    return synthetic_speech(seconds, seed=seed).signal


def push(live: LiveTimeline, signal: Signal, rate: int = SAMPLING_RATE, step: float = 0.4) -> list[LiveAnswer]:
    size = round(step * rate)
    answers = []
    for at in range(0, len(signal), size):
        live.take(rate, signal[at : at + size])
        answers.append(live.answer())
    return answers


def test_the_answer_rolls_and_each_pause_brings_the_words(live: LiveTimeline) -> None:
    silence = push(live, quiet(3.0))
    assert all(answer.scores is None and not answer.regions for answer in silence)
    speaking = push(live, said(4.0))
    assert sum(answer.scores is not None for answer in speaking) >= len(speaking) - 1
    assert not speaking[-1].regions and not speaking[-1].waiting
    after = push(live, quiet(2.0))
    assert after[-1].scores is None
    push(live, said(3.0, seed=1))
    end = live.finish()
    assert end.seconds == pytest.approx(12.0) and end.waiting == 0
    assert [region.transcript for region in end.regions] == ["what a wonderful day"] * len(end.regions)
    first, last = end.regions[0], end.regions[-1]
    assert first.start == pytest.approx(3.0, abs=0.3) and last.end == pytest.approx(12.0, abs=0.3)
    assert all(before.end <= after.start + 0.01 for before, after in zip(end.regions, end.regions[1:], strict=False))
    assert len(live.signal) == round(12.0 * SAMPLING_RATE), "nothing of the sound is lost"


def test_somebody_who_never_pauses_is_read_in_parts(live: LiveTimeline) -> None:
    push(live, said(30.0))
    regions = live.finish().regions
    covered = sum(region.end - region.start for region in regions)
    assert covered == pytest.approx(30.0, abs=1.5) and max(region.end - region.start for region in regions) <= 12.5


def test_other_rates_and_channels_are_brought_to_one(live: LiveTimeline) -> None:
    signal = np.interp(np.arange(0, 3.0, 1 / 44_100), np.arange(0, 3.0, 1 / SAMPLING_RATE), said(3.0))
    answers = push(live, np.stack([signal, signal], 1).astype(np.float32), rate=44_100)
    assert answers[-1].scores is not None and live.seconds == pytest.approx(3.0, abs=0.1)
    with pytest.raises(AudioError, match="at 48000 Hz; 44100 Hz was expected"):
        live.take(48_000, quiet(0.1))
    assert to_float(np.array([[-32768, 16384]], np.int16)).tolist() == [[-1.0, 0.5]]
    assert to_float(np.array([0.25])).dtype == np.float32


def test_the_fourth_stream_is_told_to_wait_until_one_has_ended_or_was_left() -> None:
    streams = LiveStreams(silent=1000.0)
    recognizer = Recognizer(LoudDetector(), BandEnergyModel(), None, None)
    first, second, third = (streams.get(session, recognizer.live) for session in "abc")
    assert first is not None and streams.get("a", recognizer.live) is first
    with pytest.raises(BusyError, match="3 people are live already"):
        streams.get("d", recognizer.live)
    assert streams.end("b") is second and streams.end("b") is None
    assert streams.get("b", recognizer.live) is None, "a block that comes late begins no other stream"
    fourth = streams.get("d", recognizer.live)
    streams.open("b")
    with pytest.raises(BusyError):
        streams.get("b", recognizer.live)
    first.last_block -= 2000.0
    assert streams.get("b", recognizer.live) not in (None, second), "nothing came from the first one for long"
    assert fourth is not None and fourth.push(SAMPLING_RATE, said(1.0)).scores is not None  # type: ignore[union-attr]
    assert third is not None and third.push(SAMPLING_RATE, quiet(1.0)).scores is None  # type: ignore[union-attr]


def test_a_slow_answer_holds_up_no_block() -> None:
    goes_on = threading.Event()

    class SlowDetector(LoudDetector):
        def detect(self, audio: Audio) -> tuple[SpeechRegion, ...]:
            goes_on.wait(30)
            return super().detect(audio)

    streams = LiveStreams()
    live = streams.get("a", Recognizer(SlowDetector(), BandEnergyModel(), None, None).live)
    assert live is not None
    speech = said(2.0)
    assert [live.push(SAMPLING_RATE, block) for block in np.split(speech, 5)] == [None] * 5
    goes_on.set()
    assert live.push(SAMPLING_RATE, quiet(0.1)) is not None
    assert live.timeline.finish().seconds == pytest.approx(2.1) and len(live.timeline.signal) == len(speech) + 1600


def test_sound_that_a_browser_dropped_is_told() -> None:
    live = LiveStreams().get("a", Recognizer(LoudDetector(), BandEnergyModel(), None, None).live)
    assert live is not None and live.missing == 0.0
    for _ in range(5):
        live.push(SAMPLING_RATE, quiet(0.4))
    assert live.missing == 0.0 and missing_line(live.missing) == ""
    assert live.began is not None
    live.began -= 4.0
    assert live.missing == pytest.approx(4.0 - 2.0 + (live.last_block - live.began - 4.0), abs=0.05)
    assert "of sound have not arrived" in live_html(live.push(SAMPLING_RATE, quiet(0.4)), dict, {}, live.missing)  # type: ignore[arg-type]
