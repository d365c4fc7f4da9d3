"""Which clips of the base are learnt again beside feedback, and which judge."""

from pathlib import Path

import numpy as np
import soundfile

from annotations.learning.base_corpora import JUDGING_SHARE, BaseCorpora
from ser.training.recipe import RESERVED_SPEAKERS
from ser.types import SAMPLING_RATE, Example


def write_corpus(folder: Path, speakers: tuple[str, ...], clips: int = 20) -> Path:
    """So many short clips of each speaker."""
    folder.mkdir()
    rows = ["file_name,label,speaker"]
    for speaker in speakers:
        for number in range(clips):
            name = f"{speaker}-{number}.wav"
            soundfile.write(folder / name, np.zeros(160), SAMPLING_RATE)
            rows.append(f"{name},{('anger', 'sadness')[number % 2]},{speaker}")
    (folder / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def speakers_in(examples: list[Example]) -> set[str]:
    return {example.speaker for example in examples}


def paths_of(examples: list[Example]) -> set[Path]:
    return {Path(example.path) for example in examples}


def test_reserved_speakers_are_watched_and_judge_with_different_clips(tmp_path: Path) -> None:
    reserved = RESERVED_SPEAKERS[:2]
    folder = write_corpus(tmp_path / "corpus", ("ann", "bob", *reserved))
    base = BaseCorpora.read([folder], seed=0)
    assert speakers_in(base.replayed) == {"ann", "bob"} and len(base.replayed) == 40
    assert speakers_in(base.watching) | speakers_in(base.judging) == set(reserved)
    assert len(base.watching) == len(base.judging) == 20
    assert not paths_of(base.watching) & paths_of(base.judging)


def test_who_speaks_in_the_feedback_neither_teaches_nor_judges(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "corpus", ("ann", "bob", *RESERVED_SPEAKERS[:2]))
    base = BaseCorpora.read([folder], seed=0, without={"ann", RESERVED_SPEAKERS[0]})
    assert speakers_in(base.replayed) == {"bob"}
    assert speakers_in([*base.watching, *base.judging]) == {RESERVED_SPEAKERS[1]}


def test_a_corpus_without_reserved_speakers_judges_by_clips_of_those_who_are_learnt_again(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "corpus", ("ann", "bob"))
    base = BaseCorpora.read([folder], seed=0)
    assert not base.watching, "what the network in use knows by heart holds nothing back"
    assert len(base.judging) == JUDGING_SHARE * 40 and len(base.replayed) == 40 - len(base.judging)
    assert not paths_of(base.judging) & paths_of(base.replayed)
    assert speakers_in(base.replayed) == {"ann", "bob"}


def test_the_same_seed_draws_the_same_clips(tmp_path: Path) -> None:
    folder = write_corpus(tmp_path / "corpus", ("ann", "bob", RESERVED_SPEAKERS[0]))
    assert BaseCorpora.read([folder], seed=1) == BaseCorpora.read([folder], seed=1)
    assert BaseCorpora.read([folder], seed=1) != BaseCorpora.read([folder], seed=2)
