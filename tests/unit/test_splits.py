from pathlib import Path

import pytest

from ser.corpora.splits import Split, draw_dev_speakers, report_leaks, split_by_speaker
from ser.errors import TrainingDataError
from ser.types import Example


def examples(speakers: int, clips: int = 10, corpus: str = "c") -> list[Example]:
    return [
        Example(Path(f"{corpus}/{speaker}_{clip}.wav"), "anger", f"{corpus}_{speaker}", corpus)
        for speaker in range(speakers)
        for clip in range(clips)
    ]


def test_no_speaker_is_in_two_splits_and_nothing_is_lost() -> None:
    given = examples(5)
    split = split_by_speaker(given, test_speakers=["c_0"], dev_speakers=["c_1", "c_2"])
    assert [len(part) for part in split.parts.values()] == [20, 20, 10]
    assert report_leaks(split).clean


def test_a_speaker_named_for_two_splits_is_refused() -> None:
    with pytest.raises(TrainingDataError, match="c_1: named for dev and for test"):
        split_by_speaker(examples(3), test_speakers=["c_1"], dev_speakers=["c_1", "c_2"])


def test_a_planted_speaker_and_a_planted_copy_are_found() -> None:
    given = examples(3, 1)
    split = Split((given[0], given[1]), (given[2],), (given[1],))
    hashes = {"c/0_0.wav": "same", "c/2_0.wav": "same", "c/1_0.wav": "other"}
    report = report_leaks(split, hashes)
    assert not report.clean
    assert report.speakers == {"c_1": ("test", "train")}
    assert report.recordings["same"] == ("c/0_0.wav", "c/2_0.wav")
    assert "speaker c_1 is in test and train" in str(report)


def test_copies_in_one_split_are_no_leak() -> None:
    given = examples(2, 2)
    split = split_by_speaker(given, dev_speakers=["c_1"])
    hashes = {"c/0_0.wav": "same", "c/0_1.wav": "same"}
    assert report_leaks(split, hashes).clean


@pytest.mark.parametrize("seed", range(5))
def test_drawn_dev_speakers_leave_some_for_training(seed: int) -> None:
    given = examples(10, corpus="many") + examples(2, corpus="few") + examples(1, corpus="one")
    drawn = draw_dev_speakers(given, 0.2, seed)
    assert drawn == draw_dev_speakers(given, 0.2, seed)
    assert sum(name.startswith("many") for name in drawn) == 2
    assert sum(name.startswith("few") for name in drawn) == 1
    assert not any(name.startswith("one") for name in drawn)
