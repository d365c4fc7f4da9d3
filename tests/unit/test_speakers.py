"""Speakers of one channel, told apart by their voices."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ser.audio.long_recordings import read_long
from ser.cli import main
from ser.conversation.recordings import turns_of_recording
from ser.encoder.profiles import NEUTRAL, Profile, Profiles
from ser.errors import ModelUnavailableError, SettingsError
from ser.fusion.rule import FusionRule
from ser.testing import BandEnergyModel, EnergyDetector, fake_recognizer, synthetic_speech
from ser.timeline.formats import to_rttm, to_turns
from ser.timeline.passages import cut_passages
from ser.timeline.speakers import SpeakerConfig, cluster_voices, find_speakers
from ser.timeline.timeline import DEFAULT_CONFIG, Parts, build_timeline, find_own_centers
from ser.timeline.voices import FOLDER_VARIABLE, LstmVoiceEncoder, mel_spectrogram, read_voice_weights
from ser.types import SAMPLING_RATE, Audio, Signal
from tests.unit.recordings import voice


class PitchEncoder:
    """Embeds a voice as the octave that its strongest tone lies in."""

    def embed(self, sounds: Sequence[Signal]) -> np.ndarray:
        rows = np.zeros((len(sounds), 12), np.float32)
        for row, sound in enumerate(sounds):
            powers = np.abs(np.fft.rfft(sound, SAMPLING_RATE))[50:4000]
            rows[row, int(np.log2((np.argmax(powers) + 50) / 50))] = 1.0
        return rows


def tone(frequency: float, seconds: float) -> Signal:
    """A hum that swells and fades once a second, as words do."""
    times = np.arange(round(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    return (0.3 * np.sin(2 * np.pi * frequency * times) * (0.3 + np.abs(np.sin(np.pi * times)))).astype(np.float32)


CALL = Audio(np.concatenate([tone(110, 5.0), tone(450, 5.0), tone(110, 4.0)]))


def parts(**given: object) -> Parts:
    return Parts(EnergyDetector(), BandEnergyModel(), None, None, FusionRule(), **given)  # type: ignore[arg-type]


def test_the_network_gives_what_torch_gives(tmp_path: Path) -> None:
    torch.manual_seed(0)
    lstm, linear = torch.nn.LSTM(40, 256, 3, batch_first=True), torch.nn.Linear(256, 256)
    state = {f"lstm.{name}": value for name, value in lstm.state_dict().items()}
    state |= {f"linear.{name}": value for name, value in linear.state_dict().items()}
    # A view into a larger tensor, and one that is turned, as some checkpoints have them.
    state["linear.bias"] = torch.cat([torch.zeros(3), state["linear.bias"]])[3:]
    state["linear.weight"] = state["linear.weight"].T.contiguous().T
    path = tmp_path / "pretrained.pt"
    torch.save({"step": 5, "model_state": state}, path, _use_new_zipfile_serialization=False)
    weights = read_voice_weights(path)
    assert all(np.array_equal(weights[name], value.numpy()) for name, value in state.items())
    sounds = [voice(1.2), voice(0.7)]
    found = LstmVoiceEncoder(weights).embed(sounds)
    for sound, row in zip(sounds, found, strict=True):
        level = float(np.sqrt(np.mean(sound**2)))
        mels = torch.tensor(mel_spectrogram(sound * np.float32(max(1.0, 10**-1.5 / level))))
        raw = torch.relu(linear(lstm(mels[None])[1][0][-1]))[0].detach().numpy()
        assert row == pytest.approx(raw / np.linalg.norm(raw), abs=1e-5)
    assert LstmVoiceEncoder(weights).embed([]).shape == (0, 256)


def test_what_is_no_tensor_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pretrained.pt"
    torch.save({"model_state": {"a": Path("/etc")}}, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelUnavailableError, match="which is no tensor"):
        read_voice_weights(path)
    whole = tmp_path / "whole.pt"
    torch.save({"model_state": {"a": torch.zeros(100)}}, whole, _use_new_zipfile_serialization=False)
    path.write_bytes(whole.read_bytes()[:-40])
    with pytest.raises(ModelUnavailableError, match="could not be read as weights"):
        read_voice_weights(path)


def test_without_the_network_a_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(ModelUnavailableError, match="pip install --no-deps resemblyzer"):
        fake_recognizer().timeline(synthetic_speech(2.0), speakers="auto")
    (tmp_path / "pretrained.pt").write_bytes(b"something else")
    with pytest.raises(ModelUnavailableError, match="damaged or another model"):
        fake_recognizer().timeline(synthetic_speech(2.0), speakers=2)
    for wrong in ("many", "0", "13"):
        with pytest.raises(SettingsError, match=f"speakers is '{wrong}'; expected off, auto, or a number from 1 to 12"):
            fake_recognizer().timeline(synthetic_speech(2.0), speakers=wrong)
    assert main(["timeline", "absent.wav", "--speakers", "many", "--json"]) == 2
    assert "speakers is 'many'" in capsys.readouterr().err


def test_speakers_take_turns_and_no_region_is_of_two(tmp_path: Path) -> None:
    plain = build_timeline(read_long(CALL), parts())
    assert plain.speakers == []
    timeline = build_timeline(read_long(CALL), parts(voices=PitchEncoder()))
    assert timeline.speakers == ["speaker 1", "speaker 2"]
    own = {name: [r for r in timeline.regions if r.speaker == name] for name in timeline.speakers}
    assert all(4.5 < region.start < 10.5 for region in own["speaker 2"])
    assert sum(r.end - r.start for r in own["speaker 1"]) == pytest.approx(9.0, abs=1.0)
    assert all(before.speaker == after.speaker for before, after in timeline.changes)
    assert sum(timeline.summary.values()) == pytest.approx(1.0)
    turns = [line.split() for line in to_turns(timeline, "a call.wav").splitlines()]
    assert [(turn[0], turn[1], turn[7]) for turn in turns] == [
        ("SPEAKER", "a_call", "speaker_1"),
        ("SPEAKER", "a_call", "speaker_2"),
        ("SPEAKER", "a_call", "speaker_1"),
    ]
    assert float(turns[1][3]) == pytest.approx(5.0, abs=0.6) and {len(turn) for turn in turns} == {10}
    assert len(to_rttm(timeline, "a").splitlines()) == len(timeline.regions)
    assert json.loads(json.dumps(timeline.as_dict("a")))["speakers"] == ["speaker 1", "speaker 2"]


def test_each_speaker_is_adapted_to_their_own_voice_once_enough_is_heard() -> None:
    talk = Audio(np.concatenate([sound for _ in range(10) for sound in (tone(110, 5.0), tone(450, 5.0))]))
    given, model = parts(voices=PitchEncoder()), BandEnergyModel()

    def centers_of(audio: Audio, **changes: object) -> dict[int, object]:
        passages = list(cut_passages([audio.signal], given.detector))
        who = find_speakers(passages, PitchEncoder(), None, DEFAULT_CONFIG)
        return find_own_centers(passages, who, replace(given, **changes), DEFAULT_CONFIG)  # type: ignore[arg-type, return-value]

    centers = centers_of(talk)
    voices = [model.embed_batch([Audio(tone(pitch, 1.0))])[0] for pitch in (110, 450)]
    assert sorted(centers) == [0, 1]
    for person, other in ((0, 1), (1, 0)):
        apart = [float(np.linalg.norm(centers[whose] - voices[person])) for whose in (person, other)]  # type: ignore[operator]
        assert apart[0] < 0.7 * apart[1]
    assert centers_of(CALL) == {}, "a few words are no profile"
    known = Profiles(neutral=Profile.of(NEUTRAL, model.encoder_sha256, voices))
    assert centers_of(talk, profiles=known) == {}, "a neutral voice that is known is the better one"
    plain = build_timeline(read_long(talk), replace(given, own_voices=False))
    assert build_timeline(read_long(talk), given).regions != plain.regions


def test_a_conversation_of_one_channel_has_the_speakers_that_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ser.recognizer.load_voice_encoder", PitchEncoder)
    recognizer = fake_recognizer()
    recognizer.detector = EnergyDetector()
    turns, notes = turns_of_recording(recognizer, read_long(CALL), speakers=2)
    assert [turn.speaker for turn in turns] == ["speaker 1", "speaker 2", "speaker 1"]
    assert turns[1].start == pytest.approx(5.0, abs=0.5) and notes == ()
    alone, _ = turns_of_recording(recognizer, read_long(CALL))
    assert {turn.speaker for turn in alone} == {"speaker"}


def test_one_voice_is_no_speaker_and_a_note_says_so() -> None:
    timeline = build_timeline(read_long(Audio(tone(110, 8.0))), parts(voices=PitchEncoder()))
    assert timeline.speakers == [] and "No second voice was told apart" in timeline.notes[-1]
    assert build_timeline(read_long(Audio(tone(110, 8.0))), parts()).regions == timeline.regions


def test_voices_are_grouped_and_short_phrases_follow_them() -> None:
    generator = np.random.default_rng(0)
    centres = np.linalg.qr(generator.normal(size=(16, 3)))[0].T
    who = np.array([2, 0, 2, 1, 0, 1, 2, 0, 1, 1])
    rows = (centres[who] + generator.normal(scale=0.05, size=(10, 16))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    seconds = np.where(np.arange(10) == 9, 0.5, 1.4)
    expected = [0, 1, 0, 2, 1, 2, 0, 1, 2, 2]
    assert cluster_voices(rows, seconds).tolist() == expected
    assert cluster_voices(rows, seconds, 3).tolist() == expected
    assert len(set(cluster_voices(rows, seconds, 2).tolist())) == 2
    assert cluster_voices(rows, seconds, 1).tolist() == [0] * 10
    # Speakers of too few seconds are none where their number is open.
    few = SpeakerConfig(least_seconds=4.0)
    assert len(set(cluster_voices(rows[:9], seconds[:9], None, few).tolist())) == 3
    assert cluster_voices(rows[:1], seconds[:1]).tolist() == [0]
