import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.acoustic.explanation import main as benchmark
from ser.cli import main
from ser.errors import SettingsError
from ser.explanation.cues import CHANGES, CUES, VoiceCues, measure_cues, track_pitch, usual_cues
from ser.explanation.occlusion import LONGEST_DRAWN, band_edges, cut_moments, without_bands
from ser.labels import EMOTIONS
from ser.recognizer import Recognizer
from ser.testing import EnergyDetector, FixedTranscriber, WordListModel, fake_recognizer
from ser.testing import synthetic_speech as speech
from ser.types import SAMPLING_RATE, Audio, EmotionScores, Signal, SpeechRegion
from ui.recognize.examples import EXAMPLES


class PeakModel:
    """Anger is the share of the recording that is a tone of 3 kHz; the rest is neutral."""

    name, labels, sha256 = "peak", EMOTIONS, "0"

    def classify(self, audio: Audio) -> EmotionScores:
        frames = audio.signal[: len(audio.signal) // 800 * 800].reshape(-1, 800)
        power = np.abs(np.fft.rfft(frames)) ** 2
        share = float((power[:, 145:156].sum(axis=1) > 100.0).mean()) if len(frames) else 0.0
        return EmotionScores.from_dict({"anger": 0.9 * share, "neutral": 1.0 - 0.9 * share})

    def classify_batch(self, audios: list[Audio]) -> list[EmotionScores]:
        return [self.classify(audio) for audio in audios]


def tone(seconds: float, hertz: float) -> Signal:
    return (0.3 * np.sin(2 * np.pi * hertz / SAMPLING_RATE * np.arange(round(seconds * SAMPLING_RATE)))).astype(
        np.float32
    )


@pytest.mark.parametrize("seconds", [2.0, LONGEST_DRAWN + 2.0])
def test_the_moment_and_the_band_that_an_answer_hangs_on_are_named(seconds: float) -> None:
    signal = tone(seconds, 200.0)
    signal[16_000:24_000] = tone(0.5, 3000.0)
    recognizer = Recognizer(EnergyDetector(), PeakModel(), None, None)
    why = recognizer.explain(Audio(signal), label="anger")
    inside = [part for part in why.moments if part.end > 1.01 and part.start < 1.49]
    assert min(part.effect for part in inside) > max(part.effect for part in why.moments if part not in inside)
    best = max(why.bands, key=lambda part: part.effect)
    assert best.start <= 3000.0 <= best.end and best.effect == pytest.approx(why.confidence, abs=0.02)
    against = recognizer.explain(Audio(signal), label="neutral")
    assert max(part.effect for part in inside) > 0.0 > min(part.effect for part in against.moments)
    assert why.words == () and why.words_effect == 0.0


def test_words_count_by_what_the_answer_loses_without_them() -> None:
    recognizer = Recognizer(EnergyDetector(), PeakModel(), WordListModel(), FixedTranscriber("oh what a wonderful day"))
    audio = Audio(tone(2.0, 200.0))
    answer = recognizer.recognize(audio)
    why = recognizer.explain(audio, answer=answer, label="happiness")
    effects = {word.text: word.effect for word in why.words}
    assert effects["wonderful"] == pytest.approx(why.words_effect, abs=1e-6) and why.words_effect > 0.05
    assert max(effects[word] for word in ("oh", "what", "a", "day")) < 0.02
    alone = recognizer.fusion.temper_acoustic(answer.acoustic).as_dict()["happiness"]
    assert why.confidence - why.words_effect == pytest.approx(alone)


def test_an_explanation_starts_from_the_answer_and_knows_its_labels() -> None:
    recognizer = fake_recognizer()
    audio = speech(1.5)
    why, answer = recognizer.explain(audio), recognizer.recognize(audio)
    assert (why.label, why.confidence) == (answer.label, answer.confidence)
    with pytest.raises(SettingsError, match="The label is 'joy'; expected one of anger"):
        recognizer.explain(audio, label="joy")


def test_cues_are_measured_and_can_be_brought_to_the_usual() -> None:
    signal = np.concatenate([speech(1.5, pitch=120.0).signal, 1e-4 * tone(0.5, 50.0), speech(1.0, pitch=120.0).signal])
    regions = [SpeechRegion(0.0, 1.5), SpeechRegion(2.0, 3.0)]
    cues = measure_cues(Audio(signal), regions)
    assert cues.pitch == pytest.approx(120.0, rel=0.08) and 2.0 < (cues.range or 0) < 8.0
    assert cues.pauses == pytest.approx(1 / 6, abs=0.01) and cues.rate == pytest.approx(4.0, abs=1.2)
    assert list(cues.as_dict()) == list(CUES) == list(CHANGES)
    wanted = {"pitch": 150.0, "range": 2.0, "loudness": -30.0, "rate": 5.0, "pauses": 0.05}
    for name, usual in wanted.items():
        value = getattr(cues, name)
        changed = CHANGES[name](signal, regions, value, usual)
        factor = 5.0 / value if name == "rate" else 1.0
        moved = [SpeechRegion(0.0, 1.5 / factor), SpeechRegion(2.0 / factor, 3.0 / factor)]
        if name == "pauses":
            moved = [
                SpeechRegion(0.0, 1.5),
                SpeechRegion(len(changed) / SAMPLING_RATE - 1.0, len(changed) / SAMPLING_RATE),
            ]
        after = getattr(measure_cues(Audio(changed), moved), name)
        assert abs(after - usual) < 0.35 * abs(value - usual), name


def test_what_cannot_be_measured_is_missing() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 8_000).astype(np.float32)
    cues = measure_cues(Audio(noise), [SpeechRegion(0.0, 0.5)])
    assert cues.pitch is None and cues.range is None and cues.loudness == pytest.approx(-20.0, abs=0.5)
    assert not len(track_pitch(noise[:100])) and usual_cues([]) == VoiceCues(None, None, None, None, None)


def test_cues_move_the_answer_only_against_a_usual_one() -> None:
    recognizer, audio = fake_recognizer(), speech(1.5)
    assert {cue.effect for cue in recognizer.explain(audio).cues} == {None}
    usual = measure_cues(speech(1.5, pitch=220.0), [SpeechRegion(0.0, 1.5)])
    cues = {cue.name: cue for cue in recognizer.explain(audio, usual=usual).cues}
    assert cues["pitch"].effect != 0.0 and cues["loudness"].effect == pytest.approx(0.0, abs=0.01)
    own = measure_cues(audio, recognizer.detector.detect(audio))
    assert all(abs(cue.effect or 0.0) < 0.35 for cue in recognizer.explain(audio, usual=own).cues)


def test_moments_and_bands_cover_all() -> None:
    assert cut_moments(100) == [(0, 50), (50, 100)] and cut_moments(60 * SAMPLING_RATE)[-1][1] == 60 * SAMPLING_RATE
    assert band_edges()[0] == 0.0 and band_edges()[-1] == pytest.approx(SAMPLING_RATE / 2)
    low, both = tone(1.0, 500.0), tone(1.0, 500.0)
    both[4000:8000] += tone(0.25, 4000.0)
    left = without_bands(both, [(3000.0, 5000.0)])
    assert left.shape == both.shape and np.abs(left[2000:-2000] - low[2000:-2000]).std() < 0.01


def test_the_command_prints_the_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip, damaged = next(iter(EXAMPLES.values())).path, tmp_path / "damaged.wav"
    damaged.write_text("no sound")
    models = ["--transcriber", "none"]
    assert main(["explain", str(clip), str(damaged), "--usual", str(clip), "--json", *models]) == 1
    out = capsys.readouterr().out.splitlines()
    why = json.loads(out[0])
    assert {"label", "confidence", "moments", "bands", "words", "cues"} < set(why) and "error" in json.loads(out[1])
    assert set(why["moments"][0]) == {"start", "end", "effect"} and set(why["bands"][0]) == {"low", "high", "effect"}
    assert [set(cue) for cue in why["cues"]] == [{"name", "value", "usual", "unit", "effect"}] * 5
    assert main(["explain", str(clip), *models]) == 0 and "points" in capsys.readouterr().out
    assert main(["explain", str(clip), "--usual", str(damaged), *models]) == 2
    assert "holds speech" in capsys.readouterr().err


@pytest.mark.slow
def test_the_quick_measurement_finds_what_answers_hang_on(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert benchmark(["--data", str(shared_data), "--corpora", "ravdess", "--quick", "--json"]) in (0, 1)
    result = json.loads(capsys.readouterr().out)
    print(json.dumps(result))
    assert result["deletion"]["moments"]["against_random"] > 1.5 and result["planted"]["found"] >= 0.5
