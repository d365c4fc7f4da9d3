import numpy as np
import pytest

from ser.errors import AudioError
from ser.recognizer import Recognizer
from ser.testing import (
    BandEnergyModel,
    EnergyDetector,
    FixedTranscriber,
    WordListModel,
    fake_recognizer,
    synthetic_speech,
)
from ser.types import SAMPLING_RATE, Audio, Recognition


def test_the_sound_answers_first_then_the_words_then_both() -> None:
    steps = list(fake_recognizer("what a wonderful day").recognize_steps(synthetic_speech(2.0)))
    sound, words, both = steps
    assert [step.complete for step in steps] == [False, False, True]
    assert sound.transcript is None and sound.fused == sound.acoustic
    assert words.transcript is not None and words.text is None
    assert both.text is not None and both.text.label == "happiness"
    assert 0.0 < both.text_weight < 1.0
    assert both.fused != both.acoustic


def test_recognize_returns_the_last_step() -> None:
    recognizer, audio = fake_recognizer(), synthetic_speech(1.0)
    *_, last = recognizer.recognize_steps(audio)
    assert recognizer.recognize(audio).fused == last.fused


def test_words_that_say_nothing_are_left_out_with_a_reason() -> None:
    recognizer = Recognizer(EnergyDetector(), BandEnergyModel(), WordListModel(), FixedTranscriber(confidence=0.05))
    answer = recognizer.recognize(synthetic_speech(2.0))
    assert answer.text is None and answer.text_weight == 0.0
    assert answer.fused == answer.acoustic
    assert len(answer.notes) == 1 and "word" in answer.notes[0].lower()


def test_a_foreign_language_is_left_to_the_sound() -> None:
    transcriber = FixedTranscriber("was für ein wunderbarer Tag", language="de")
    answer = Recognizer(EnergyDetector(), BandEnergyModel(), WordListModel(), transcriber).recognize(
        synthetic_speech(2.0)
    )
    assert answer.text is None and answer.transcript is not None


def test_without_a_transcriber_the_first_answer_is_the_last() -> None:
    steps = list(Recognizer(EnergyDetector(), BandEnergyModel(), None, None).recognize_steps(synthetic_speech(1.0)))
    assert [step.complete for step in steps] == [True]
    assert steps[0].models["transcriber"] == "none" and steps[0].models["text"] == "none"


def test_a_transcript_is_shown_even_where_no_model_reads_it() -> None:
    *_, answer = Recognizer(EnergyDetector(), BandEnergyModel(), None, FixedTranscriber()).recognize_steps(
        synthetic_speech(1.0)
    )
    assert answer.complete and answer.transcript is not None and answer.text is None


def test_no_speech_is_refused() -> None:
    silence = Audio(np.zeros(2 * SAMPLING_RATE, dtype=np.float32))
    with pytest.raises(AudioError) as error:
        fake_recognizer().recognize(silence)
    assert str(error.value) == (
        "No speech was found in this recording of 2.0 s. Speak closer to the microphone, or choose another file."
    )


def test_an_answer_under_way_finishes_on_the_model_it_began_with() -> None:
    recognizer = fake_recognizer(seed=0)
    steps = recognizer.recognize_steps(synthetic_speech(1.5))
    first = next(steps)
    recognizer.replace_acoustic(BandEnergyModel(seed=1))
    *_, last = steps
    assert last.models == first.models
    assert recognizer.recognize(synthetic_speech(1.5)).models["acoustic"] == "band energy, seed 1"


def test_timings_add_up() -> None:
    timings = fake_recognizer().recognize(synthetic_speech(1.0)).timings
    parts = timings.decode + timings.vad + timings.transcription + timings.acoustic + timings.text
    assert timings.total == pytest.approx(parts, abs=1e-3)
    assert timings.acoustic > 0


def test_warming_up_leaves_no_trace() -> None:
    recognizer, audio = fake_recognizer(), synthetic_speech(1.0)
    before = recognizer.recognize(audio).fused
    recognizer.warm_up()
    assert recognizer.recognize(audio).fused == before


class DeafToBarks(BandEnergyModel):
    """Takes what is louder than 0.1 (root mean square) for a bark."""

    def embed_batch(self, audios):
        levels = np.array([[np.sqrt(np.mean(audio.signal**2))] for audio in audios], dtype=np.float32)
        return np.concatenate([super().embed_batch(audios), levels], axis=1)

    def classify_embeddings(self, embeddings, center=None, spread=None):
        return super().classify_embeddings(embeddings[:, :-1])

    def speech(self, embeddings):
        return (embeddings[:, -1] < 0.1).tolist()


def test_what_the_detector_lets_pass_and_the_model_takes_for_noise_is_refused() -> None:
    speech = synthetic_speech(1.0)
    level = float(np.sqrt(np.mean(speech.signal**2)))
    quiet, loud = (Audio(speech.signal * np.float32(wanted / level)) for wanted in (0.05, 0.2))
    recognizer = Recognizer(EnergyDetector(), DeafToBarks(), None, None)
    assert recognizer.recognize(quiet).complete
    with pytest.raises(AudioError, match="No speech was found"):
        recognizer.recognize(loud)
    refused, answered, again = recognizer.recognize_many([loud, quiet, loud])
    assert isinstance(refused, AudioError) and isinstance(again, AudioError)
    assert isinstance(answered, Recognition)
    assert answered.fused.probabilities == pytest.approx(recognizer.recognize(quiet).fused.probabilities)
