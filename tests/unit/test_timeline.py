import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser.cli import main
from ser.errors import AudioError, SettingsError
from ser.labels import EMOTIONS
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, EnergyDetector, FixedTranscriber, WordListModel, fake_recognizer
from ser.timeline.formats import FORMATS
from ser.timeline.passages import LONGEST, cut_passages
from ser.timeline.segmentation import Answer, SegmentationConfig, cut_phrases, list_runs, segment
from ser.types import SAMPLING_RATE, Audio, EmotionScores, Signal, SpeechRegion
from tests.unit.recordings import voice
from ui.recognize.examples import EXAMPLES

CONFIG = SegmentationConfig(neutral_odds=1.0)


def scores(label: str, probability: float = 0.8) -> EmotionScores:
    rest = (1.0 - probability) / (len(EMOTIONS) - 1)
    return EmotionScores(tuple(probability if name == label else rest for name in EMOTIONS))


def phrases_at(*starts: float, seconds: float = 1.0) -> list[SpeechRegion]:
    return [SpeechRegion(start, start + seconds) for start in starts]


def labelled_runs(
    phrases: list[SpeechRegion], labels: list[str], probability: float = 0.8
) -> dict[tuple[int, int], Answer]:
    """Answers of a model that is sure of each phrase, and torn where a run holds two feelings."""
    answers = {}
    for first, last in list_runs(phrases, CONFIG):
        inside = labels[first:last]
        mean = np.mean([scores(label, probability).probabilities for label in inside], axis=0)
        answers[first, last] = Answer(EmotionScores(tuple(mean.tolist())), 0.5)
    return answers


def mostly(label: str, neutral: float) -> Answer:
    return Answer(EmotionScores.from_dict({label: 0.95 - neutral, "neutral": neutral, "fear": 0.05}))


def test_a_voice_whose_neutral_sounds_sad_is_neutral_where_it_is_more_so_than_elsewhere() -> None:
    phrases = phrases_at(0.0, 1.2, 2.4, 3.6, 4.8)
    config = SegmentationConfig(most_phrases=1)
    apart = {(at, at + 1): mostly("sadness", 0.1) for at in range(5)} | {(2, 3): mostly("sadness", 0.001)}
    spans = segment(phrases, apart, config)
    assert [span.scores.label for span in spans] == ["neutral", "sadness", "neutral"]
    alike = {(at, at + 1): mostly("sadness", 0.1) for at in range(5)}
    assert [span.scores.label for span in segment(phrases, alike, config)] == ["sadness"], "nothing to compare with"
    rare = {(at, at + 1): mostly("sadness", 0.001) for at in range(5)} | {(2, 3): mostly("sadness", 0.1)}
    assert [span.scores.label for span in segment(phrases, rare, config)] == ["sadness"], "too few of them"


def test_a_feeling_between_neutral_phrases_is_found_with_its_borders() -> None:
    phrases = phrases_at(0.0, 1.2, 2.4, 3.6, 4.8)
    labels = ["neutral", "neutral", "anger", "anger", "neutral"]
    spans = segment(phrases, labelled_runs(phrases, labels), CONFIG)
    assert [(span.start, span.end, span.scores.label) for span in spans] == [
        (0.0, 2.2, "neutral"),
        (2.4, 4.6, "anger"),
        (4.8, 5.8, "neutral"),
    ]
    assert all(span.novelty == pytest.approx(0.5) for span in spans)


def test_a_weak_sign_of_a_feeling_is_no_change() -> None:
    phrases = phrases_at(0.0, 1.2, 2.4)
    answers = labelled_runs(phrases, ["neutral"] * 3)
    answers[1, 2] = Answer(scores("anger", 0.3))
    (span,) = segment(phrases, answers, CONFIG)
    assert span.scores.label == "neutral"


def test_a_long_pause_ends_a_region_and_the_feeling_goes_on_in_the_next() -> None:
    phrases = phrases_at(0.0, 10.0)
    spans = segment(phrases, labelled_runs(phrases, ["fear", "fear"]), CONFIG)
    assert [(span.start, span.scores.label) for span in spans] == [(0.0, "fear"), (10.0, "fear")]


def test_what_is_no_speech_is_left_out() -> None:
    phrases = phrases_at(0.0, 1.2, 4.0)
    answers = labelled_runs(phrases, ["fear", "fear", "anger"])
    answers[2, 3] = answers[2, 3]._replace(is_speech=False)
    (span,) = segment(phrases, answers, CONFIG)
    assert (span.start, span.end, span.scores.label) == (0.0, 2.2, "fear")


def test_phrases_hold_all_speech_and_runs_stay_within_their_limits() -> None:
    generator = np.random.default_rng(0)
    edges = np.cumsum(generator.uniform(0.1, 4.0, 60))
    speech = [SpeechRegion(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    audio = Audio(generator.normal(0.0, 0.1, round(edges[-1] * SAMPLING_RATE) + 1).astype(np.float32))
    phrases = cut_phrases(audio, speech, CONFIG)
    for region in speech:
        covered = sum(max(0.0, min(p.end, region.end) - max(p.start, region.start)) for p in phrases)
        assert covered == pytest.approx(region.end - region.start)
    runs = list_runs(phrases, CONFIG)
    assert {(place, place + 1) for place in range(len(phrases))} <= set(runs)
    assert all(phrases[last - 1].end - phrases[first].start <= 4.0 for first, last in runs if last - first > 1)


def test_speech_without_a_pause_is_divided_where_it_is_quietest() -> None:
    signal = np.full(round(2.6 * SAMPLING_RATE), 0.5, np.float32)
    signal[round(1.7 * SAMPLING_RATE) : round(1.75 * SAMPLING_RATE)] = 0.1
    phrases = cut_phrases(Audio(signal), [SpeechRegion(0.0, 2.5)], CONFIG)
    assert min(abs(phrase.end - 1.725) for phrase in phrases) < 0.05
    assert all(0.4 <= phrase.end - phrase.start <= 1.5 for phrase in phrases)


def blocks_of(signal: Signal, seed: int = 0) -> Iterator[Signal]:
    generator, at = np.random.default_rng(seed), 0
    while at < len(signal):
        size = int(generator.integers(1, 30 * SAMPLING_RATE))
        yield signal[at : at + size]
        at += size


class PauseDetector:
    """Every stretch of loud samples is speech; a pause of 0.1 s ends it."""

    name = "pauses"

    def detect(self, audio: Audio) -> tuple[SpeechRegion, ...]:
        frame = SAMPLING_RATE // 10
        loud = [np.abs(audio.signal[at : at + frame]).max() > 0.01 for at in range(0, len(audio.signal), frame)]
        edges = np.flatnonzero(np.diff([False, *loud, False])) / 10
        return tuple(SpeechRegion(float(a), min(float(b), audio.duration)) for a, b in edges.reshape(-1, 2))


def phrases_of_voice(count: int, seed: int = 0) -> tuple[Signal, list[float]]:
    """Stretches of voice with silence between, and their starts in seconds."""
    generator, parts, starts, time = np.random.default_rng(seed), list[Signal](), list[float](), 0.0
    for _ in range(count):
        seconds, pause = round(float(generator.uniform(1, 5)), 1), round(float(generator.uniform(0.3, 3)), 1)
        starts.append(time)
        parts += [np.full(round(seconds * SAMPLING_RATE), 0.5, np.float32)]
        parts += [np.zeros(round(pause * SAMPLING_RATE), np.float32)]
        time += seconds + pause
    return np.concatenate(parts), starts


def test_passages_of_a_stream_hold_all_speech_uncut_at_its_place() -> None:
    signal, starts = phrases_of_voice(60)
    passages = list(cut_passages(blocks_of(signal), PauseDetector()))
    found = [passage.start + region.start for passage in passages for region in passage.speech]
    assert found == pytest.approx(starts, abs=0.11)
    assert all(passage.audio.duration <= LONGEST for passage in passages)
    for passage in passages:
        first = round(passage.start * SAMPLING_RATE)
        assert np.array_equal(passage.audio.signal, signal[first : first + len(passage.audio.signal)])


def test_speech_without_any_pause_is_cut_and_nothing_is_lost() -> None:
    signal = np.full(200 * SAMPLING_RATE, 0.5, np.float32)
    passages = list(cut_passages(blocks_of(signal), PauseDetector()))
    assert sum(passage.audio.duration for passage in passages) == pytest.approx(200.0)


def test_the_json_has_its_exact_form() -> None:
    timeline = fake_recognizer().timeline(Audio(voice(20.0)))
    form = timeline.as_dict("talk.wav")
    assert list(form)[:8] == ["file", "duration", "channels", "speakers", "regions", "changes", "summary", "timings"]
    regions = form["regions"]
    assert isinstance(regions, list) and regions
    keys = ["start", "end", "speaker", "channel", "label", "confidence", "scores", "unsure", "transcript"]
    assert all(list(region) == keys for region in regions)
    assert sum(timeline.summary.values()) == pytest.approx(1.0)
    assert all(before.label != after.label for before, after in timeline.changes)
    json.dumps(form)


def test_words_go_to_the_region_that_they_are_said_in() -> None:
    recognizer = Recognizer(PauseDetector(), BandEnergyModel(), WordListModel(), FixedTranscriber("one two three four"))
    signal = np.zeros(14 * SAMPLING_RATE, np.float32)
    signal[: 4 * SAMPLING_RATE], signal[10 * SAMPLING_RATE :] = 0.5, 0.3
    timeline = recognizer.timeline(Audio(signal))
    early = " ".join(region.transcript or "" for region in timeline.regions if region.end < 7.0)
    assert early == "one two"
    assert timeline.regions[-1].transcript is not None and timeline.regions[-1].transcript.endswith("four")


def test_a_recording_without_speech_and_an_unknown_way_with_channels_are_refused_with_a_sentence() -> None:
    with pytest.raises(AudioError, match="No speech was found"):
        Recognizer(PauseDetector(), BandEnergyModel(), None, None).timeline(Audio(np.zeros(40_000, np.float32)))
    with pytest.raises(SettingsError, match="expected one of split, mix, auto"):
        fake_recognizer().timeline(Audio(voice()), "left")


def test_channels_with_different_speech_are_answered_apart_or_mixed_with_a_note(tmp_path: Path) -> None:
    one, other = voice(8.0), voice(8.0)
    one[4 * SAMPLING_RATE :], other[: 4 * SAMPLING_RATE] = 0.0, 0.0
    path = tmp_path / "call.wav"
    soundfile.write(path, np.stack([one, other], axis=1), SAMPLING_RATE)
    recognizer = fake_recognizer()
    apart = recognizer.timeline(path)
    assert apart.speakers == ["channel 1", "channel 2"] and apart.channels == 2
    assert all((region.channel == 1) == (region.end <= 4.2) for region in apart.regions)
    assert "hold different speech" in apart.notes[-1]
    mixed = recognizer.timeline(path, "mix")
    assert mixed.speakers == [] and "were mixed" in mixed.notes[-1]
    assert {region.channel for region in mixed.regions} == {None}


def test_one_scene_on_two_channels_is_answered_once(tmp_path: Path) -> None:
    signal, path = voice(6.0), tmp_path / "scene.wav"
    soundfile.write(path, np.stack([signal, -0.5 * np.roll(signal, 40)], axis=1), SAMPLING_RATE)
    timeline = fake_recognizer().timeline(path)
    assert timeline.speakers == [] and timeline.notes == ()


def test_the_command_goes_on_after_a_bad_file_and_names_each_file_it_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ser.commands.timeline.load_recognizer", lambda settings: fake_recognizer())
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        soundfile.write(tmp_path / place / "talk.wav", voice(5.0), SAMPLING_RATE)
    (tmp_path / "a" / "notes.wav").write_text("Dear diary")
    folder = tmp_path / "out"
    for form, (ending, _) in FORMATS.items():
        arguments = ["timeline", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(folder), "--format", form]
        assert main(arguments) == 1
        assert (folder / f"talk.wav{ending}").stat().st_size and (folder / f"talk.wav.2{ending}").stat().st_size
        printed = capsys.readouterr()
        assert "it is text" in printed.out and "Recordings without a timeline: 1 of 3." in printed.err
    assert main(["timeline", str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["regions"]
    assert main(["timeline", str(tmp_path / "b"), "--format", "srt"]) == 2


@pytest.mark.slow
def test_memory_stays_flat_over_three_hours(tmp_path: Path) -> None:
    minute, path = np.concatenate([voice(10.0, 8_000), np.zeros(50 * 8_000, np.float32)]), tmp_path / "day.wav"
    with soundfile.SoundFile(path, "w", 8_000, 1) as file:
        for _ in range(180):
            file.write(minute)
    recognizer = Recognizer(EnergyDetector(), BandEnergyModel(), None, None)
    tracemalloc.start()
    timeline = recognizer.timeline(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert timeline.duration == pytest.approx(3 * 3600.0, abs=1.0)
    assert timeline.regions[-1].end == pytest.approx(3 * 3600.0 - 50.0, abs=1.0)
    assert peak < 100 * 2**20


def test_a_timeline_is_adapted_to_a_neutral_voice(capsys: pytest.CaptureFixture[str]) -> None:
    clip, neutral = str(EXAMPLES["sadness"].path), str(EXAMPLES["neutral"].path)
    found = []
    for options in ([], ["--neutral", neutral]):
        assert main(["timeline", clip, "--json", "--transcriber", "none", *options]) == 0
        found.append(json.loads(capsys.readouterr().out)["regions"][0]["scores"])
    assert found[0] != found[1]
    assert main(["recognize", clip, "--json", "--transcriber", "none", "--neutral", neutral, neutral]) == 0
    assert json.loads(capsys.readouterr().out)["profile"] == {"kind": "neutral", "clips": 2}
