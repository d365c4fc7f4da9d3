import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.audio.batching import map_batches
from ser.errors import AudioError
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, EnergyDetector, FixedTranscriber, synthetic_speech
from ser.types import SAMPLING_RATE, Audio, Recognition


def test_answers_come_in_the_order_of_the_items_from_several_threads() -> None:
    threads = set()

    def square(batch: Sequence[int]) -> list[int]:
        threads.add(threading.get_ident())
        time.sleep(0.02 if 0 in batch else 0.005)
        return [item**2 for item in batch]

    assert list(map_batches(square, range(20), batch_size=3, workers=3)) == [item**2 for item in range(20)]
    assert len(threads) > 1


def test_items_are_drawn_as_they_are_needed() -> None:
    drawn: list[int] = []

    def items():  # type: ignore[no-untyped-def]  # noqa: ANN202
        for item in range(1000):
            drawn.append(item)
            yield item

    answers = map_batches(list, items(), batch_size=10, workers=2)
    assert next(answers) == 0
    assert len(drawn) <= 40
    answers.close()  # type: ignore[attr-defined]


def test_an_exception_arrives_where_its_batch_is_due() -> None:
    def fail(batch: Sequence[int]) -> list[int]:
        return [1 // item for item in batch]

    answers = map_batches(fail, [1, 1, 0, 1], batch_size=2, workers=1)
    assert [next(answers), next(answers)] == [1, 1]
    with pytest.raises(ZeroDivisionError):
        next(answers)


def test_many_recordings_get_the_answers_that_each_gets_alone(tmp_path: Path) -> None:
    clips = [synthetic_speech(0.6 + 0.3 * seed, pitch=100 + 20 * seed, seed=seed) for seed in range(5)]
    soundfile.write(tmp_path / "a.wav", clips[0].signal, SAMPLING_RATE)
    (tmp_path / "text.wav").write_text("this is no recording")
    silence = Audio(np.full(SAMPLING_RATE, 1e-4, np.float32))
    sources = [*clips, tmp_path / "a.wav", tmp_path / "text.wav", silence]
    recognizer = Recognizer(EnergyDetector(), BandEnergyModel(), None, FixedTranscriber("so it is"))
    answers = list(recognizer.recognize_many(sources, batch_size=3, workers=2))
    assert [type(answer) for answer in answers] == [Recognition] * 6 + [AudioError] * 2
    assert "No speech was found" in str(answers[7]) and "cannot be read as sound" in str(answers[6])
    for source, answer in zip(sources[:6], answers, strict=False):
        alone = recognizer.recognize(source)
        assert isinstance(answer, Recognition) and answer.complete
        # Rounded otherwise in company, by the matrix product.
        np.testing.assert_allclose(answer.fused.probabilities, alone.fused.probabilities, atol=1e-6)
        assert answer.speech == alone.speech and answer.notes == alone.notes
        assert answer.transcript == alone.transcript
        assert answer.timings.total == pytest.approx(
            sum(getattr(answer.timings, name) for name in ("decode", "vad", "acoustic", "transcription", "text")),
            abs=0.02,
        )
