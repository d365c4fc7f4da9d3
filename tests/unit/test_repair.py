import json
import os
import sqlite3
import threading

import pytest

from annotations.cli import main
from annotations.maintenance.inspection import inspect
from annotations.maintenance.repair import repair
from annotations.review.queue import next_clip, queue_length
from annotations.store import DATABASE, AnnotationStore, NewVote
from annotations.store.media import encode_flac
from tests.unit.stored import answer, recording


@pytest.fixture
def store(tmp_path):
    with AnnotationStore(tmp_path / "data") as opened:
        for seed in range(3):
            clip = opened.add_clip(recording(seed), source="page")
            version = opened.ensure_base_version("embedded", "a" * 64)
            opened.add_prediction(clip.id, answer(), version.id)
        yield opened


def test_a_whole_store_is_well(store):
    found = inspect(store)
    assert found.is_well and found.lines() == []
    report = repair(store)
    assert report.lines() == [] and report.after.is_well


def test_a_recording_without_a_clip_is_put_aside_and_nothing_is_deleted(store):
    stray = store.data_dir / "clips" / "ff" / f"{'f' * 64}.flac"
    stray.parent.mkdir()
    stray.write_bytes(encode_flac((recording(9).signal * 32767).astype("int16")))
    content = stray.read_bytes()
    assert inspect(store).orphans == (f"clips/ff/{'f' * 64}.flac",)
    report = repair(store)
    assert report.quarantined == [f"orphans/{'f' * 64}.flac"]
    assert (store.data_dir / report.quarantined[0]).read_bytes() == content
    assert not stray.exists() and report.after.is_well


def test_a_clip_without_recording_leaves_the_queue_until_it_is_back(store):
    clip = store.get_clip(2)
    path = store.clip_path(clip)
    content = path.read_bytes()
    path.unlink()
    assert inspect(store).missing == (clip.sha256,)
    assert queue_length(store, "ann") == 3
    report = repair(store)
    assert report.marked_missing == [clip.sha256]
    assert report.after.is_well and report.after.lost == (clip.sha256,)
    assert queue_length(store, "ann") == 2
    with AnnotationStore(store.data_dir) as fresh:
        assert queue_length(fresh, "ann") == 2
        assert next_clip(fresh, "ann", exclude=[1, 3]) is None
    path.write_bytes(content)
    assert repair(store).after.lost == ()
    assert queue_length(store, "ann") == 3
    assert next_clip(store, "ann", exclude=[1, 3]).clip.id == 2


def test_a_renamed_recording_is_put_back_where_it_belongs(store):
    path = store.clip_path(store.get_clip(1))
    wrong = path.with_name(f"{'0' * 64}.flac")
    path.rename(wrong)
    report = repair(store)
    assert report.restored == [path.relative_to(store.data_dir).as_posix()]
    assert path.is_file() and not wrong.exists() and report.after.is_well


def test_a_recording_of_other_content_is_put_aside_and_its_clip_is_marked(store):
    first, second = (store.get_clip(number) for number in (1, 2))
    spoilt = store.clip_path(second)
    spoilt.write_bytes(store.clip_path(first).read_bytes())
    assert inspect(store).damaged == (second.path,)
    assert inspect(store, contents=False).is_well
    report = repair(store)
    assert report.quarantined == [f"orphans/{second.sha256}.flac"]
    assert report.marked_missing == [second.sha256]
    assert store.clip_path(first).is_file()


def test_a_cut_recording_is_found(store):
    path = store.clip_path(store.get_clip(3))
    path.write_bytes(path.read_bytes()[:100])
    assert inspect(store).damaged == (store.get_clip(3).path,)


def test_half_written_files_of_dead_processes_are_swept_and_others_left(store):
    folder = store.clip_path(store.get_clip(1)).parent
    dead, own, bare = folder / ".tmp-4194999-aa", folder / f".tmp-{os.getpid()}-bb", store.data_dir / ".tmp-x.db"
    for path in (dead, own, bare):
        path.write_bytes(b"half")
    report = repair(store)
    assert sorted(report.swept) == sorted([bare.name, dead.relative_to(store.data_dir).as_posix()])
    assert own.exists() and not dead.exists() and not bare.exists()


def test_rows_that_point_at_nothing_are_kept_aside_and_removed(store):
    store.add_correction(1, NewVote("ann", "correct", label="fear"))
    with sqlite3.connect(store.data_dir / DATABASE) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("UPDATE consents SET clip_id = 77 WHERE clip_id = 3")
    assert inspect(store).broken_rows == ("consents.clip_id: 1",)
    report = repair(store)
    assert report.rows_removed == {"consents": 1}
    (line,) = (store.data_dir / "orphans" / "rows.jsonl").read_text().splitlines()
    assert (json.loads(line)["table"], json.loads(line)["clip_id"]) == ("consents", 77)
    assert report.after.is_well


def test_an_index_that_lost_an_entry_is_made_anew(store):
    with sqlite3.connect(store.data_dir / DATABASE) as connection:
        connection.execute("CREATE INDEX spoilt ON clips (speaker)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX spoilt ON clips (source)' WHERE name = 'spoilt'"
        )
    assert inspect(store).problems != ()
    report = repair(store)
    assert report.rebuilt == ["all indexes"] and report.after.is_well


def test_a_text_index_that_disagrees_is_made_anew(store):
    with store.database.writing() as connection:
        connection.execute("INSERT INTO clip_words (rowid, text) VALUES (999, 'nonsense')")
    assert inspect(store).indexes == ("clip_words",)
    report = repair(store)
    assert report.rebuilt == ["clip_words"] and report.after.is_well


def test_repair_while_clips_are_stored_loses_none(store):
    stop = threading.Event()

    def record():
        for seed in range(100, 140):
            store.add_clip(recording(seed), source="page")
        stop.set()

    writer = threading.Thread(target=record)
    writer.start()
    while not stop.is_set():
        repair(store, contents=False)
    writer.join()
    final = repair(store)
    assert final.after.is_well and final.after.lost == ()
    with store.reading() as connection:
        assert connection.execute("SELECT count(*) FROM clips").fetchone()[0] == 43


def test_the_command_repairs(store, capsys):
    store.clip_path(store.get_clip(1)).unlink()
    data = str(store.data_dir)
    assert main(["--data-dir", data, "check"]) == 1
    assert "no recording for clip" in capsys.readouterr().out
    assert main(["--data-dir", data, "check", "--repair", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["repaired"]["marked_missing"] == said["missing"] and said["well"]
    assert main(["--data-dir", data, "check"]) == 0
    assert "Clips that have lost their recording and are left out of the queue: 1." in capsys.readouterr().out
