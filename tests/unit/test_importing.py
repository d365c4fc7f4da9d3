import io
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import datasets
import pytest
import soundfile

from annotations import prelabelling
from annotations.errors import ConsentRequiredError, ExchangeError
from annotations.exchange.imports.decoding import store_recording
from annotations.exchange.imports.importing import ImportOptions, import_sources
from annotations.exchange.imports.sources import find_recordings
from annotations.maintenance.inspection import inspect
from annotations.raters.votes import effective_corrections, gold_labels
from annotations.store import DATABASE, AnnotationStore
from tests.unit.stored import list_clips, recording

ROOT = Path(__file__).resolve().parents[2]
RESEARCH = ImportOptions(consent=("research",))


def write_wavs(folder, count, first=0):
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count):
        soundfile.write(folder / f"{seed:03d}.wav", recording(seed).signal, 16_000, subtype="PCM_16")


def test_what_a_table_says_is_carried(store, tmp_path):
    write_wavs(tmp_path / "in", 3)
    (tmp_path / "in" / "metadata.csv").write_text(
        "file_name,label,speaker,language,transcript,consent\n"
        "000.wav,fear,s1,de,das ist,research training\n001.wav,boredom,s1,de,,research\n002.wav,anger,s2,,,\n"
    )
    with pytest.raises(ConsentRequiredError):
        import_sources(store, [tmp_path / "in"], ImportOptions(labels_as="corpus owner"))
    how = ImportOptions(
        consent=("publication",), consent_by="lab", consent_wording="form 3", labels_as="corpus owner", gold=True
    )
    report = import_sources(store, [tmp_path / "in"], how)
    assert (report.added, report.votes, report.gold) == (3, 2, 2)
    assert gold_labels(store) == {1: "fear", 3: "anger"}
    assert {vote.rater for vote in effective_corrections(store)} == {"corpus owner"}
    with store.reading() as connection:
        rows = connection.execute("SELECT language, transcript FROM clips ORDER BY id").fetchall()
        consents = connection.execute("SELECT clip_id, purpose, given_by, wording FROM consents ORDER BY id").fetchall()
    assert [tuple(row) for row in rows] == [("de", "das ist"), ("de", None), (None, None)]
    assert [tuple(row) for row in consents] == [
        (1, "research", "lab", "form 3"),
        (1, "training", "lab", "form 3"),
        (2, "research", "lab", "form 3"),
        (3, "publication", "lab", "form 3"),
    ]


def test_a_corpus_as_its_owner_ships_it_is_understood(store, tmp_path):
    write_wavs(tmp_path / "in", 3)
    for seed, name in enumerate(("1001_DFA_ANG_XX", "1001_IEO_SAD_HI", "1002_TIE_HAP_LO")):
        (tmp_path / "in" / f"{seed:03d}.wav").rename(tmp_path / "in" / f"{name}.wav")
    report = import_sources(store, [tmp_path / "in"], ImportOptions(consent=("research",), labels=True))
    assert (report.added, report.votes, report.failed) == (3, 3, [])
    clips = list_clips(store)
    assert len({clip.speaker for clip in clips}) == 2 and clips[0].speaker == clips[1].speaker
    votes = effective_corrections(store)
    assert [vote.label for vote in votes] == ["anger", "sadness", "happiness"]
    assert {vote.rater for vote in votes} == {f"import:{clips[0].source}"}


def test_the_same_sound_in_another_container_is_the_same_clip(store, tmp_path):
    write_wavs(tmp_path / "in", 2)
    samples, rate = soundfile.read(tmp_path / "in" / "000.wav", dtype="int16")
    soundfile.write(tmp_path / "in" / "again.flac", samples, rate)
    report = import_sources(store, [tmp_path / "in"], RESEARCH)
    assert (report.added, report.known, report.duplicates) == (2, 1, 1)
    assert "1 recording came more than once, stored once." in " ".join(report.lines())


def test_nothing_is_decoded_twice(store, tmp_path):
    write_wavs(tmp_path / "in", 2)
    import_sources(store, [tmp_path / "in"], RESEARCH)
    write_wavs(tmp_path / "in", 1, first=2)
    report = import_sources(store, [tmp_path / "in"], RESEARCH)
    assert (report.added, report.known) == (1, 2)
    assert list(report.finished_before) == [str(tmp_path / "in")]
    from_memory = [store_recording(store, item, None).audio is None for item in _incoming(tmp_path / "in")]
    assert from_memory == [True, True, True]
    # Where the recording was lost, the bytes are decoded again and bring it back.
    store.clip_path(store.get_clip(1)).unlink()
    import_sources(store, [tmp_path / "in"], RESEARCH)
    assert inspect(store).is_well


def _incoming(folder):
    with ExitStack() as stack:
        return find_recordings(folder, stack).incoming


def test_progress_is_reported_and_an_import_can_be_stopped_and_gone_on_with(store, tmp_path):
    write_wavs(tmp_path / "in", 40)
    steps = []
    report = import_sources(
        store, [tmp_path / "in"], RESEARCH, on_progress=steps.append, should_stop=lambda: len(steps) == 10
    )
    assert report.stopped and report.added == 10
    assert (steps[-1].done, steps[-1].total) == (10, 40)
    assert inspect(store).is_well  # No recording was left without its row.
    report = import_sources(store, [tmp_path / "in"], RESEARCH)
    assert (report.added, report.known, report.stopped) == (30, 10, False)


def test_an_import_that_is_killed_goes_on_and_leaves_nothing_broken(store, tmp_path):
    write_wavs(tmp_path / "in", 150)
    data_dir = tmp_path / "killed"
    command = [sys.executable, "-m", "annotations", "--data-dir", str(data_dir), "import", str(tmp_path / "in")]
    with subprocess.Popen([*command, "--consent", "research"], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None and len(list(data_dir.glob("clips/*/*.flac"))) < 20:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    assert (data_dir / DATABASE).is_file()
    with AnnotationStore(data_dir) as opened:
        before = len(list_clips(opened))
        report = import_sources(opened, [tmp_path / "in"], RESEARCH)
        assert report.added == 150 - before and report.failed == []
        found = inspect(opened)
        assert (found.orphans, found.missing, found.damaged, found.problems) == ((), (), (), ())


@pytest.fixture
def audio_set():
    """Rows as sets of `datasets` hold them, with names of their own for everything."""
    rows = []
    for seed in range(4):
        memory = io.BytesIO()
        soundfile.write(memory, recording(seed).signal, 16_000, format="WAV")
        rows.append({"bytes": memory.getvalue(), "path": f"{seed}.wav"})
    rows[3] = {"bytes": b"no sound", "path": "bad.wav"}
    made = datasets.Dataset.from_dict(
        {
            "audio": rows,
            "emotion": ["angry", "sad", "fear", "fear"],
            "speaker_id": [7, 8, 7, 8],
            "sentence": ["one", "two", "three", "four"],
            "locale": ["en"] * 4,
        }
    )
    return made.cast_column("audio", datasets.Audio(decode=False)).class_encode_column("emotion")


def check_set(store, source):
    report = import_sources(store, [source], ImportOptions(consent=("research",), labels_as="owner"))
    assert (report.added, report.votes, len(report.failed)) == (3, 3, 1)
    clips = list_clips(store)
    assert [clip.speaker for clip in clips] == ["7", "8", "7"]
    assert [vote.label for vote in effective_corrections(store)] == ["anger", "sadness", "fear"]
    with store.reading() as connection:
        row = connection.execute("SELECT transcript, language FROM clips WHERE id = 2").fetchone()
    assert tuple(row) == ("two", "en")


def test_a_set_saved_by_datasets_is_imported(store, tmp_path, audio_set):
    audio_set.save_to_disk(tmp_path / "saved")
    check_set(store, f"datasets:{tmp_path / 'saved'}")


def test_a_folder_of_a_set_is_known_by_itself(store, tmp_path, audio_set):
    audio_set.save_to_disk(tmp_path / "saved")
    check_set(store, tmp_path / "saved")


def test_a_split_of_a_set_is_imported(store, tmp_path, audio_set):
    datasets.DatasetDict({"train": audio_set.select([0]), "test": audio_set}).save_to_disk(tmp_path / "saved")
    check_set(store, f"datasets:{tmp_path / 'saved'}:test")


def test_a_parquet_file_of_a_set_is_imported(store, tmp_path, audio_set):
    audio_set.cast_column("audio", datasets.Audio()).to_parquet(tmp_path / "set.parquet")
    check_set(store, tmp_path / "set.parquet")


def test_a_set_without_recordings_and_one_that_is_nowhere_are_refused(store, tmp_path, monkeypatch):
    datasets.Dataset.from_dict({"text": ["a"]}).save_to_disk(tmp_path / "words")
    with pytest.raises(ExchangeError, match="none holds recordings"):
        import_sources(store, [f"datasets:{tmp_path / 'words'}"], RESEARCH)
    monkeypatch.setattr("ser.corpora.audio_sets.hub_reachable", lambda: False)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(ExchangeError, match="'nobody/nothing' cannot be had"):
        import_sources(store, ["datasets:nobody/nothing"], RESEARCH)


def test_prelabelling_in_the_background_starts_once_and_only_where_there_is_work(store, tmp_path):
    store.ensure_base_version("embedded", "a" * 64)
    assert not prelabelling.start_prelabelling(store)
    store.add_clip(recording(), source="page")
    assert prelabelling.unanalysed_clips(store) == [1]
    with prelabelling.prelabelling_lock(store).acquire(timeout=0):
        assert prelabelling.is_prelabelling(store)
        assert not prelabelling.start_prelabelling(store)
    assert not prelabelling.is_prelabelling(store)
