import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.acoustic.joined_clips import NEUTRAL, count_close, diarization_error, draw_joined_clips
from benchmarks.acoustic.speaker_turns import TURNS, draw_conversations, speaker_error
from benchmarks.acoustic.timeline import main, row_of, score, summarise
from ser.errors import ModelUnavailableError, TrainingDataError
from ser.recognizer import Recognizer
from ser.testing import BandEnergyModel, EnergyDetector
from ser.timeline.voices import load_voice_encoder


def test_the_error_rate_is_that_of_the_published_scorer() -> None:
    # The example of SpeechBrain's speechbrain.utils.EDER: windows of 0.2 s, n n n a a a, in 1.22 s.
    error = diarization_error([(0.39, 1.10, "anger")], [(0.6, 1.22, "anger")], 1.22)
    assert error == pytest.approx(0.2704918032786885)


def test_confusions_misses_and_false_alarms_all_count_and_neutral_regions_do_not() -> None:
    reference = [(2.0, 4.0, "fear")]
    assert diarization_error(reference, [(2.0, 3.0, "anger"), (5.0, 6.0, "anger")], 10.0) == pytest.approx(0.3)
    assert diarization_error(reference, [(0.0, 2.0, NEUTRAL), (2.0, 4.0, "fear")], 10.0) == 0.0
    assert diarization_error(reference, [], 10.0) == pytest.approx(0.2)


def test_times_are_close_within_the_tolerance() -> None:
    assert count_close([1.0, 5.0, 9.0], [1.5, 8.4], 0.5) == 1


def test_joins_are_of_one_speaker_with_their_speech_where_it_is_said(shared_data: Path) -> None:
    detector = EnergyDetector(-35.0)
    joins = draw_joined_clips(shared_data / "ravdess", {"ravdess_04"}, detector, 1, seed=1)
    again = draw_joined_clips(shared_data / "ravdess", {"ravdess_04"}, detector, 1, seed=1)
    assert len(joins) == 6 and {join.spans[1][2] for join in joins} >= {"anger", "fear", "sadness"}
    for join, same in zip(joins, again, strict=True):
        assert np.array_equal(join.audio.signal, same.audio.signal)
        assert join.spans[0][2] == join.spans[2][2] == NEUTRAL
        (_, end, _), (start, after, _), (later, last, _) = join.spans
        assert 0.0 < end < start < after < later < last <= join.audio.duration
        inside = detector.detect(join.audio.crop(start, after))
        assert inside[0].start < 0.05 and inside[-1].end > after - start - 0.05
    with pytest.raises(TrainingDataError, match="no neutral and emotional clips"):
        draw_joined_clips(shared_data / "ravdess", {"nobody"}, detector, 1, seed=1)


def test_a_timeline_is_scored_against_what_was_joined(shared_data: Path) -> None:
    joins = draw_joined_clips(shared_data / "ravdess", {"ravdess_04"}, EnergyDetector(-35.0), 1, seed=1)
    recognizer = Recognizer(EnergyDetector(-35.0), BandEnergyModel(), None, None)
    scores = [score(recognizer, join) for join in joins]
    figures = summarise(scores, seed=0)
    low, high = figures["error_interval"]
    assert figures["joins"] == 6 and 0.0 <= low <= figures["error"] <= high <= 1.0
    assert 0.0 < figures["error_always_neutral"] < 0.6 and 0.0 <= figures["boundaries"] <= 1.0
    assert row_of(joins, 100.0).duration >= 100.0


@pytest.mark.slow
def test_the_quick_measurement_beats_always_neutral_on_reserved_speakers(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--data", str(shared_data), "--quick", "--json"]) in (0, 1)
    result = json.loads(capsys.readouterr().out)
    print(json.dumps(result))
    assert {name: figures["joins"] for name, figures in result["corpora"].items()} == {"ravdess": 24, "nemo": 9}
    assert result["mean"]["error"] < result["mean"]["error_always_neutral"]
    assert result["share_of_real_time"]["with_transcript"]["processor"] > 0.0


def test_the_error_of_speakers_is_that_of_the_best_match_and_borders_have_a_collar() -> None:
    reference = [(0.0, 4.0, "a"), (4.0, 8.0, "b"), (9.0, 10.0, "a")]
    assert speaker_error(reference, [(0.0, 4.0, "x"), (4.0, 8.0, "y"), (9.0, 10.0, "x")]) == 0.0
    # A second late: a ninth of the speech; the collar leaves out what lies near the border.
    assert speaker_error(reference, [(0.0, 5.0, "x"), (5.0, 8.0, "y"), (9.0, 10.0, "x")]) == pytest.approx(1 / 9)
    assert speaker_error(reference, [(0.0, 4.2, "x"), (4.2, 8.0, "y"), (9.0, 10.0, "x")], 0.25) == 0.0
    # One for all, a third one, a false alarm.
    assert speaker_error(reference, [(0.0, 8.0, "x"), (9.0, 10.0, "x")]) == pytest.approx(4 / 9)
    assert speaker_error(reference, [(0.0, 4.0, "x"), (4.0, 8.0, "y"), (9.0, 10.0, "z")]) == pytest.approx(1 / 9)
    assert speaker_error(reference, [(0.0, 4.0, "x"), (4.0, 9.0, "y")]) == pytest.approx(2 / 9)


def test_conversations_are_of_the_speakers_asked_for(shared_data: Path) -> None:
    detector, people = EnergyDetector(-35.0), {f"ravdess_{number:02d}" for number in (3, 4, 5, 6)}
    kinds = ((1, "same"), (2, "same"), (3, "mixed"), (3, "same"))
    talks = draw_conversations(shared_data / "ravdess", people, kinds, 1, detector, seed=2)
    assert [(talk.speakers, talk.sex) for talk in talks] == [(1, "same"), (2, "same"), (3, "mixed")], (
        "no three of a sex"
    )
    for talk in talks:
        who = [span[2] for span in talk.spans]
        changes = sum(one != other for one, other in zip(who, who[1:], strict=False))
        assert len(set(who)) == talk.speakers and changes == (TURNS[talk.speakers] - 1) * (talk.speakers > 1)
    odd = {int(name[-2:]) % 2 for name in {span[2] for span in talks[1].spans}}
    assert len(odd) == 1, "RAVDESS's men have odd numbers"


@pytest.mark.slow
def test_speakers_who_take_turns_are_measured(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        load_voice_encoder()
    except ModelUnavailableError as error:
        pytest.skip(str(error))
    assert main(["--data", str(shared_data), "--turns", "--quick", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    print(result)
    for kind, figures in result["error"].items():
        assert 0 <= figures["given_collar"] <= 1 and figures["given"] >= figures["given_collar"] - 0.05, kind
    assert result["error"]["ravdess, 2, mixed"]["given"] < 0.5, "better than naming one for all"
