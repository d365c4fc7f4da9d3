"""Every layout in miniature, as its owner lays it out, with short recordings that truly open."""

from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile

from ser.audio.decoding import decode_file
from ser.corpora import LAYOUTS, Corpus, read_corpus
from ser.errors import TrainingDataError
from ser.labels import RAVDESS_EIGHT
from ser.types import Example


def record(path: Path, pitch: float = 200.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(8_000) / 16_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * time), 16_000)
    return path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def by_name(corpus: Corpus) -> dict[str, Example]:
    return {example.path.name: example for example in corpus.examples}


def test_ravdess(tmp_path: Path) -> None:
    for name in ("03-01-05-02-01-01-01", "03-01-02-01-02-01-02", "03-02-05-01-01-01-01", "01-01-05-02-01-01-01"):
        record(tmp_path / f"Actor_{name[-2:]}" / f"{name}.wav")
    record(tmp_path / "Actor_01" / "notes.wav")
    corpus = read_corpus(tmp_path)
    assert corpus.layout == corpus.name == "ravdess"
    angry, calm = by_name(corpus)["03-01-05-02-01-01-01.wav"], by_name(corpus)["03-01-02-01-02-01-02.wav"]
    assert len(corpus.examples) == 2, "songs and films are left out"
    assert (angry.label, angry.speaker, angry.gender, angry.intensity) == ("anger", "ravdess_01", "male", 1.0)
    assert (calm.label, calm.gender, calm.intensity, calm.language) == ("neutral", "female", 0.0, "en")
    assert calm.transcript == "Dogs are sitting by the door"
    assert corpus.broken == ("Actor_01/notes.wav: seven numbers such as 03-01-05-02-01-01-01 are expected",)
    eight = by_name(read_corpus(tmp_path, RAVDESS_EIGHT))
    assert eight["03-01-02-01-02-01-02.wav"].label == "calm"


def test_crema_d(tmp_path: Path) -> None:
    for name in ("1001_DFA_ANG_XX", "1002_IEO_HAP_HI", "1002_IEO_SAD_MD"):
        record(tmp_path / "AudioWAV" / f"{name}.wav")
        write(tmp_path / "AudioMP3" / f"{name}.mp3", "the same sound once more")
    write(tmp_path / "VideoDemographics.csv", '"ActorID","Age","Sex"\n1001,51,"Male"\n1002,21,"Female"\n')
    corpus = read_corpus(tmp_path)
    found = by_name(corpus)
    assert corpus.name == "crema-d" and len(found) == 3
    angry, happy = found["1001_DFA_ANG_XX.wav"], found["1002_IEO_HAP_HI.wav"]
    assert (angry.label, angry.gender, angry.intensity) == ("anger", "male", None)
    assert (happy.label, happy.gender, happy.intensity) == ("happiness", "female", 1.0)
    assert found["1002_IEO_SAD_MD.wav"].intensity == 0.5
    assert angry.transcript == "Don't forget a jacket."


def test_tess(tmp_path: Path) -> None:
    record(tmp_path / "OAF_angry" / "OAF_back_angry.wav")
    record(tmp_path / "OAF_neutral" / "OA_bite_neutral.wav")
    record(tmp_path / "YAF_pleasant_surprised" / "YAF_home_ps.wav")
    found = by_name(read_corpus(tmp_path))
    assert {e.label for e in found.values()} == {"anger", "neutral", "surprise"}
    assert found["OA_bite_neutral.wav"].speaker == found["OAF_back_angry.wav"].speaker == "tess_OAF"
    assert found["YAF_home_ps.wav"].transcript == "Say the word home"


@pytest.mark.parametrize("names", [("DC_sa01", "JK_a01", "KL_n30"), ("DC/sa01", "JK/a01", "KL/n30")])
@pytest.mark.parametrize("below", ["", "AudioData/"])
def test_savee(tmp_path: Path, names: tuple[str, ...], below: str) -> None:
    for name in names:
        record(tmp_path / f"{below or ('ALL/' if '_' in name else '')}{name}.wav")
    corpus = read_corpus(tmp_path)
    assert corpus.name == "savee"
    assert [(e.speaker, e.label) for e in sorted(corpus.examples, key=lambda e: e.speaker)] == [
        ("savee_DC", "sadness"),
        ("savee_JK", "anger"),
        ("savee_KL", "neutral"),
    ]


def test_emodb(tmp_path: Path) -> None:
    for name in ("03a01Fa", "08b02Wb", "16a05La"):
        record(tmp_path / "wav" / f"{name}.wav")
    corpus = read_corpus(tmp_path)
    found = by_name(corpus)
    assert corpus.unknown_labels == {"boredom": 1}
    assert (found["03a01Fa.wav"].label, found["03a01Fa.wav"].gender) == ("happiness", "male")
    assert (found["08b02Wb.wav"].label, found["08b02Wb.wav"].speaker) == ("anger", "emodb_08")
    assert found["08b02Wb.wav"].gender == "female"
    assert found["03a01Fa.wav"].transcript == "Der Lappen liegt auf dem Eisschrank."
    bored = read_corpus(tmp_path, ("anger", "boredom"))
    assert {e.label for e in bored.examples} == {"anger", "boredom"}


def test_nemo(tmp_path: Path) -> None:
    record(tmp_path / "samples" / "EB0_surprised_1.wav")
    record(tmp_path / "samples" / "KS0_fear_2.wav")
    rows = 'EB0_surprised_1.wav\tsurprised\tLubię, "naprawdę"\tEB0\tfemale\t27\nKS0_fear_2\tfear\tDom.\tKS0\tmale\t23\n'
    header = "file_id\temotion\traw_text\tspeaker_id\tgender\tage\n"
    write(tmp_path / "data.tsv", header + rows + "\tfear\tDom.\tKS0\tmale\t23\nKS0_fear_3\tfear\tDom.\tKS0\tmale\t23\n")
    corpus = read_corpus(tmp_path)
    first, second = corpus.examples
    assert (first.label, first.speaker, first.language, first.gender) == ("surprise", "nemo_EB0", "pl", "female")
    assert second.label == "fear"
    assert corpus.missing_files == ("samples/KS0_fear_3.wav",)
    assert corpus.broken == ("data.tsv, line 4: no file_id",)


def test_turev(tmp_path: Path) -> None:
    for place in (
        "Angry/1157_kz_acik",
        "Calm/1234_sk_algi",
        "Happy/1234_mt_algi",
        "Sad/1234_hl_algi",
        "Sad/1234_kz_algi",
    ):
        record(tmp_path / "Sound Source" / f"{place}.wav")
    record(tmp_path / "Model Output for Test Data" / "x" / "sound" / "Angry" / "1157_kz_acik.wav")
    corpus = read_corpus(tmp_path)
    assert [e.label for e in corpus.examples] == ["anger", "neutral", "happiness", "sadness"]
    assert corpus.examples[0].speaker == "turev_1157" and corpus.examples[0].transcript == "acik"
    assert corpus.broken == ("Sound Source/Sad/1234_kz_algi.wav: its name says angry, its folder says Sad",)


def test_iemocap(tmp_path: Path) -> None:
    turns = {"F000": "neu", "M000": "exc", "M001": "fru", "F001": "xxx"}
    lines = [f"[6.2901 - 8.2357]\tSes01F_impro01_{turn}\t{label}\t[2.5, 2.5, 2.5]" for turn, label in turns.items()]
    dialogue = tmp_path / "Session1" / "dialog"
    write(
        dialogue / "EmoEvaluation" / "Ses01F_impro01.txt",
        "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
        + "\nC-E2:\tNeutral;\t()\n".join(lines)
        + "\n[bad]\n",
    )
    write(dialogue / "EmoEvaluation" / "._Ses01F_impro01.txt", "left by another system")
    write(
        dialogue / "transcriptions" / "Ses01F_impro01.txt",
        "Ses01F_impro01_F000 [006.2901-008.2357]: Excuse me.\nM: [BREATHING]\n",
    )
    for turn in turns:
        record(tmp_path / "Session1" / "sentences" / "wav" / "Ses01F_impro01" / f"Ses01F_impro01_{turn}.wav")
    corpus = read_corpus(tmp_path)
    woman, man = corpus.examples
    assert (woman.speaker, woman.label, woman.transcript) == ("iemocap_Ses01F", "neutral", "Excuse me.")
    assert (man.speaker, man.label, man.gender, man.split) == ("iemocap_Ses01M", "happiness", "male", "Session1")
    assert corpus.unknown_labels == {"frustration": 1, "no agreement": 1}
    assert len(corpus.broken) == 1 and "times, a turn and its label are expected" in corpus.broken[0]


def test_meld(tmp_path: Path) -> None:
    header = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
    times = ',8,21,"00:16:16,059","00:16:21,731"\n'
    write(
        tmp_path / "train_sent_emo.csv",
        header + '1,"Also, hello",Chandler,joy,positive,0,0' + times + "2,What?,Monica,surprise,negative,0,x" + times,
    )
    write(tmp_path / "dev_sent_emo.csv", header + "1,Oh!,Chandler,anger,negative,0,0" + times)
    write(tmp_path / "test_sent_emo.csv", header + "1,No.,All,disgust,negative,7,1" + times)
    record(tmp_path / "train_splits" / "dia0_utt0.wav", 200)
    record(tmp_path / "dev_splits_complete" / "dia0_utt0.wav", 300)
    write(tmp_path / "dev_splits_complete" / "dia0_utt0.mp4", "the film of it; the WAV file goes before it")
    record(tmp_path / "output_repeated_splits_test" / "dia7_utt1.wav", 400)
    corpus = read_corpus(tmp_path)
    assert [(e.split, e.label, e.speaker) for e in corpus.examples] == [
        ("train", "happiness", "meld_Chandler"),
        ("dev", "anger", "meld_Chandler"),
        ("test", "disgust", "meld_All"),
    ]
    assert corpus.examples[0].transcript == "Also, hello"
    assert corpus.examples[1].path.parent.name == "dev_splits_complete"
    assert corpus.examples[1].path.suffix == ".wav"
    assert corpus.broken == ("train_sent_emo.csv, line 3: Dialogue_ID and Utterance_ID must be numbers",)


def test_msp_podcast(tmp_path: Path) -> None:
    table = """FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0008.wav,N,2.2,4.0,2.6,30,Male,Test1
MSP-PODCAST_0002_0001.wav,U,6.5,7.0,5.0,Unknown,Unknown,Development
MSP-PODCAST_0002_0002.wav,C,3.0,3.0,4.0,Unknown,Female,Train
MSP-PODCAST_0002_0003.wav,X,3.0,3.0,4.0,31,Female,Train
other.wav,A,3.0,3.0,4.0,31,Female,Train
"""
    write(tmp_path / "Labels" / "labels_consensus.csv", table)
    write(tmp_path / "Transcripts" / "MSP-PODCAST_0001_0008.txt", "And so on.\n")
    for name in ("0001_0008", "0002_0001", "0002_0002", "0002_0003"):
        record(tmp_path / "Audios" / f"MSP-PODCAST_{name}.wav")
    corpus = read_corpus(tmp_path)
    first, second = corpus.examples
    assert (first.label, first.speaker, first.gender, first.split) == ("neutral", "msp-podcast_30", "male", "test1")
    assert first.transcript == "And so on."
    assert (second.label, second.speaker, second.gender, second.split) == (
        "surprise",
        "msp-podcast_of_0002",
        None,
        "dev",
    )
    assert corpus.unknown_labels == {"contempt": 1, "no agreement": 1}
    assert corpus.broken == ("labels_consensus.csv, line 6: 'other.wav' is no MSP-PODCAST_... file name",)


def test_folders_named_by_emotion(tmp_path: Path) -> None:
    for place in ("train/angry/a", "train/happy/b", "validation/angry/c", "train/bored/d"):
        record(tmp_path / "mine" / f"{place}.wav")
    corpus = read_corpus(tmp_path / "mine")
    assert (corpus.layout, corpus.name) == ("folders", "mine")
    assert [(e.label, e.split) for e in corpus.examples] == [
        ("anger", "train"),
        ("happiness", "train"),
        ("anger", "dev"),
    ]
    assert corpus.unknown_labels == {"bored": 1}
    assert not corpus.speakers_known


@pytest.fixture
def audio_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> datasets.Dataset:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    files = [record(tmp_path / "given" / f"{n}.wav", 200 + 50 * n) for n in range(3)]
    rows = {
        "audio": [{"bytes": f.read_bytes(), "path": f.name} for f in files],
        "emotion": [0, 1, 2],
        "speaker_id": ["p1", "p2", "p1"],
        "transcription": ["one", "two", "three"],
    }
    given = datasets.Dataset.from_dict(rows)
    given = given.cast_column("emotion", datasets.ClassLabel(names=["happy", "angry", "bored"]))
    return given.cast_column("audio", datasets.Audio(sampling_rate=16_000))


@pytest.mark.parametrize("way", ["saved", "saved with splits", "parquet", "parquet by its prefix"])
def test_audio_sets(audio_set: datasets.Dataset, tmp_path: Path, way: str) -> None:
    folder = tmp_path / "myset"
    if way == "saved":
        audio_set.save_to_disk(str(folder))
    elif way == "saved with splits":
        datasets.DatasetDict({"train": audio_set}).save_to_disk(str(folder))
    else:
        (folder / "data").mkdir(parents=True)
        audio_set.to_parquet(str(folder / "data" / "train-00000-of-00001.parquet"))
    corpus = read_corpus(f"datasets:{folder}" if "prefix" in way else folder)
    first, second = corpus.examples
    assert (corpus.layout, corpus.name) == ("datasets", "myset")
    assert (first.label, first.speaker, first.transcript) == ("happiness", "myset_p1", "one")
    assert (second.label, first.split) == ("anger", None if way == "saved" else "train")
    assert corpus.unknown_labels == {"bored": 1}
    assert decode_file(first.path).sha256 == decode_file(tmp_path / "given" / "0.wav").sha256


def test_a_set_without_recordings_is_refused(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"text": ["a"], "label": ["happy"]}).save_to_disk(str(tmp_path / "texts"))
    with pytest.raises(TrainingDataError, match="has the columns text, label; none holds recordings"):
        read_corpus(tmp_path / "texts")


def test_a_set_that_cannot_be_had_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(TrainingDataError, match="The audio set 'nobody/nothing:train' cannot be had"):
        read_corpus("datasets:nobody/nothing:train")


def test_a_layout_can_be_named(tmp_path: Path) -> None:
    record(tmp_path / "deep" / "er" / "03a01Fa.wav")
    with pytest.raises(TrainingDataError, match=r"There is no metadata.csv.*emodb: wav/03a01Fa.wav.*--layout"):
        read_corpus(tmp_path)
    assert read_corpus(tmp_path, layout="emodb").examples == read_corpus(f"emodb:{tmp_path}").examples
    with pytest.raises(TrainingDataError, match="There is no layout 'emo'. Choose one of metadata, nemo"):
        read_corpus(tmp_path, layout="emo")
    with pytest.raises(TrainingDataError, match="There is no folder"):
        read_corpus(f"emodb:{tmp_path / 'absent'}")


def test_every_layout_says_where_it_comes_from() -> None:
    table = (Path(__file__).resolve().parents[2] / "docs" / "corpora.md").read_text(encoding="utf-8")
    for layout in LAYOUTS.values():
        assert layout.source and f"`{layout.name}`" in table
        assert layout.source in table or layout.source == "docs/corpora.md"
