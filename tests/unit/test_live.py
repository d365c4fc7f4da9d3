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
from ui.live.panel import live_state
from ui.live.streams import LiveStreams, NotLiveError


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


def test_what_comes_at_once_after_a_hold_up_is_answered_like_what_comes_in_time(live: LiveTimeline) -> None:
    """An utterance in the middle of it is not missed, though only the last seconds are looked at for the answer."""
    live.take(SAMPLING_RATE, np.concatenate([quiet(3.0), said(3.0), quiet(8.0), said(2.0, seed=1), quiet(7.0)]))
    assert live.answer().scores is None
    regions = live.finish().regions
    assert len(regions) == 2 and [region.transcript for region in regions] == ["what a wonderful day"] * 2
    assert [round(region.start) for region in regions] == [3, 14]


def test_a_slow_answer_holds_up_no_block() -> None:
    goes_on = threading.Event()

    class SlowDetector(LoudDetector):
        def detect(self, audio: Audio) -> tuple[SpeechRegion, ...]:
            goes_on.wait(30)
            return super().detect(audio)

    streams = LiveStreams()
    number = streams.open("a", SAMPLING_RATE, Recognizer(SlowDetector(), BandEnergyModel(), None, None).live)
    live = streams.get(number, "a")
    speech = np.rint(said(2.0) * 32767).astype(np.int16)
    answers = []
    for at, block in zip(range(0, len(speech), len(speech) // 5), np.split(speech, 5), strict=True):
        live.take(at, block)
        answers.append(live.answer())
    assert not any(answer.done() for answer in answers) and len(set(answers)) == 1, "answers are left out, not sound"
    goes_on.set()
    answers[0].result(30)
    assert live.answer().result(30).seconds == live.seconds == 2.0
    assert np.array_equal(live.recording(), speech)
    with pytest.raises(NotLiveError):
        live.take(len(speech), speech)


def test_what_stands_on_the_page_already_is_not_drawn_again(live: LiveTimeline) -> None:
    push(live, np.concatenate([said(2.0), quiet(2.0), said(2.0, seed=1)]))
    end = live.finish()
    whole, rest = live_state(end, dict, {}), live_state(end, dict, {"joy": "cheer"}, drawn=1)
    assert whole["drawn"] == rest["drawn"] == len(end.regions) >= 2
    assert str(whole["lines"]).count("<li>") == str(rest["lines"]).count("<li>") + 1
    assert str(whole["marks"]).count("--start:") == str(rest["marks"]).count("--start:") + 1
    assert not whole["reading"] and "…" in str(whole["now"])
