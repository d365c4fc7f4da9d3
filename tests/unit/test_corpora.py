import logging
from pathlib import Path

import pytest

from ser.corpora import load_corpus, read_corpus
from ser.errors import TrainingDataError
from ser.labels import RAVDESS_EIGHT


def make(folder: Path, table: str, *files: str) -> Path:
    (folder / "audio").mkdir(parents=True)
    (folder / "metadata.csv").write_text(table, encoding="utf-8")
    for name in files:
        (folder / "audio" / name).write_bytes(b"x")
    return folder


def test_rows_become_examples_with_mapped_labels(tmp_path: Path) -> None:
    folder = make(
        tmp_path / "acted",
        "file_name,label,speaker,transcript,language\naudio/a.wav,Calm,s1,hello,en\naudio/b.wav,angry,s2,,\n",
        "a.wav",
        "b.wav",
    )
    first, second = load_corpus(folder)
    assert (first.label, first.speaker, first.corpus, first.transcript) == ("neutral", "s1", "acted", "hello")
    assert (second.label, second.speaker, second.transcript, second.language) == ("anger", "s2", None, None)


def test_unknown_labels_and_missing_files_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = make(
        tmp_path / "c",
        "file_name,label,speaker\naudio/a.wav,sad,s\naudio/b.wav,boredom,s\naudio/c.wav,boredom,s\naudio/d.wav,sad,s\n",
        "a.wav",
        "b.wav",
        "c.wav",
    )
    corpus = read_corpus(folder)
    assert corpus.unknown_labels == {"boredom": 2}
    assert corpus.missing_files == ("audio/d.wav",)
    assert len(corpus.examples) == 1
    with caplog.at_level(logging.WARNING):
        load_corpus(folder)
    assert "boredom (2)" in caplog.text and "audio/d.wav" in caplog.text


def test_without_speakers_each_file_is_its_own(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", "file_name,label\naudio/a.wav,sad\naudio/b.wav,happy\n", "a.wav", "b.wav")
    corpus = read_corpus(folder)
    assert [e.speaker for e in corpus.examples] == ["c/audio/a.wav", "c/audio/b.wav"]
    (note,) = corpus.notes
    assert note.startswith("c: no speakers are given for some files, so each of these counts as a speaker of its own")


def test_weights_are_read_and_checked(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", "file_name,label,speaker,weight\naudio/a.wav,sad,s,2.5\n", "a.wav")
    assert load_corpus(folder)[0].weight == 2.5
    (folder / "metadata.csv").write_text("file_name,label,speaker,weight\naudio/a.wav,sad,s,much\n")
    with pytest.raises(TrainingDataError, match="the weight 'much' is no number"):
        load_corpus(folder)


def test_intensity_gender_and_split_are_read(tmp_path: Path) -> None:
    table = "file_name,label,gender,intensity,split\naudio/a.wav,sad,female,strong,train\naudio/b.wav,sad,,normal,\n"
    folder = make(tmp_path / "c", table + "audio/c.wav,sad,male,0.25,\naudio/d.wav,sad,,,\n", *"abcd")
    for name in "abcd":
        (folder / "audio" / name).rename(folder / "audio" / f"{name}.wav")
    first, *others = load_corpus(folder)
    assert (first.gender, first.intensity, first.split) == ("female", 1.0, "train")
    assert [(e.gender, e.intensity) for e in others] == [(None, 0.0), ("male", 0.25), (None, None)]
    (folder / "metadata.csv").write_text("file_name,label,intensity\naudio/a.wav,sad,much\n")
    with pytest.raises(TrainingDataError, match="the intensity 'much' is neither normal, nor strong, nor a number"):
        load_corpus(folder)


def test_another_label_set_keeps_calm_apart(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", "file_name,label,speaker\naudio/a.wav,calm,s\n", "a.wav")
    assert load_corpus(folder)[0].label == "neutral"
    calm = load_corpus(folder, RAVDESS_EIGHT)[0]
    assert calm.label == "calm"
    assert calm.shares(RAVDESS_EIGHT).tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    with pytest.raises(TrainingDataError, match=r"none of the 2 wanted, left out: calm \(1\)"):
        read_corpus(folder, ("anger", "fear"))


def test_missing_columns_are_named(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", "sound of,emotion\na.wav,sad\n")
    with pytest.raises(TrainingDataError, match=r"has the columns sound of, emotion. Expected a column of recordings"):
        read_corpus(folder)


def test_a_folder_without_a_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="There is no metadata.csv in"):
        read_corpus(tmp_path)


def test_a_table_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "c", "file_name,label,speaker\naudio/a.wav,boredom,s\n", "a.wav")
    with pytest.raises(TrainingDataError, match=r"gives no usable example.*boredom \(1\)"):
        read_corpus(folder)


def test_the_real_corpora_are_read_whole(shared_data: Path) -> None:
    counts = {"ravdess": (1440, 24), "emodb": (339, 10), "turev": (1735, 6)}
    for name, (clips, speakers) in counts.items():
        examples = load_corpus(shared_data / name)
        assert (len(examples), len({e.speaker for e in examples})) == (clips, speakers)
