"""Nothing is lost: not to other writers, not to a killed process, not to a full disk."""

import errno
import os
import re
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from annotations.errors import StoreError
from annotations.maintenance.inspection import inspect
from annotations.raters.votes import effective_corrections
from annotations.store import AnnotationStore, NewClip, NewVote, grant
from annotations.store.database import StoreDatabase, explain_os, newer_migrations
from tests.unit.stored import answer, list_clips, recording

ROOT = Path(__file__).resolve().parents[2]

WRITER = """
import sys, threading
from pathlib import Path
from annotations.store import AnnotationStore, NewVote
store = AnnotationStore(Path(sys.argv[1]))
def vote(rater):
    for number in range(int(sys.argv[3])):
        vote = store.add_correction(1 + number % 3, NewVote(rater, "correct", "fear"))
        sys.stdout.write(f"{vote.id}\\n")
threads = [threading.Thread(target=vote, args=(f"{sys.argv[2]} {n}",)) for n in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
"""

SAVER = """
import sys
from pathlib import Path
from annotations.store import AnnotationStore, NewClip, NewVote, grant
from tests.unit.stored import answer, recording
store = AnnotationStore(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    number += 1
    clip, vote = store.save_feedback(
        recording(number), answer(), NewVote("ann", "accept", "fear", 1),
        NewClip("page", grants=grant(["research"], "ann")),
    )
    print(clip.sha256, vote.id, flush=True)
"""


def start(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_eight_threads_in_each_of_two_processes_lose_no_write_and_meet_no_lock(tmp_path):
    with AnnotationStore(tmp_path) as store:
        for seed in range(3):
            store.add_clip(recording(seed), source="page")
    workers = [start(WRITER, tmp_path, name, 15) for name in ("one", "two")]
    results = [worker.communicate(timeout=60) for worker in workers]
    assert [errors for _, errors in results] == ["", ""]
    acknowledged = {int(line) for output, _ in results for line in output.split()}
    assert len(acknowledged) == 2 * 8 * 15
    with AnnotationStore(tmp_path) as store, store.reading() as connection:
        assert {row["id"] for row in connection.execute("SELECT id FROM corrections")} == acknowledged
        raters = connection.execute("SELECT rater, count(*) FROM corrections GROUP BY rater").fetchall()
        assert sorted(count for _, count in raters) == [15] * 16


def test_every_acknowledged_save_survives_kill_9_with_its_recording(tmp_path):
    with AnnotationStore(tmp_path) as store:
        store.ensure_base_version("embedded", "a" * 64)
    acknowledged = []
    for round_, moment in enumerate((1, 3, 7)):
        writer = start(SAVER, tmp_path, 1000 * round_)
        lines = [writer.stdout.readline() for _ in range(moment)]
        writer.send_signal(signal.SIGKILL)
        lines += [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        writer.communicate()
        assert writer.returncode == -signal.SIGKILL
        acknowledged += [line.split() for line in lines]
    assert len(acknowledged) >= 11
    with AnnotationStore(tmp_path) as store:
        assert store.database.problems() == []
        votes = {vote.id: vote for vote in effective_corrections(store)}
        for sha256, vote_id in acknowledged:
            clip = store.find_clip(sha256)
            assert votes[int(vote_id)].clip_id == clip.id
            assert store.clip_path(clip).is_file()
        assert inspect(store).missing == ()


def test_three_processes_may_open_a_new_store_at_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from annotations.store import AnnotationStore as S; S(Path(sys.argv[1]))"
    )
    workers = [start(code, tmp_path / "new") for _ in range(3)]
    assert [worker.communicate(timeout=60)[1] for worker in workers] == [""] * 3


def test_saved_means_on_the_disk(tmp_path):
    with AnnotationStore(tmp_path) as store, store.reading() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    with AnnotationStore(tmp_path / "slow", journal_mode="delete") as store, store.reading() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 3  # EXTRA
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    with pytest.raises(StoreError, match="journal_mode is 'memory'; expected one of wal, delete"):
        AnnotationStore(tmp_path, journal_mode="memory")


def test_a_database_of_newer_code_is_left_alone_with_a_clear_sentence(tmp_path):
    AnnotationStore(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "annotations.db")
    connection.execute(
        "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('annotations', 'm999_add_moods', '')"
    )
    connection.commit()
    connection.close()
    with pytest.raises(StoreError) as caught:
        AnnotationStore(tmp_path)
    assert str(caught.value) == (
        f"The store at {tmp_path / 'annotations.db'} was written by a newer version of this program (m999_add_moods); "
        "this version cannot read it safely. Update the program."
    )


def test_opening_again_migrates_nothing_and_keeps_everything(tmp_path):
    with AnnotationStore(tmp_path) as store:
        clip = store.add_clip(recording(), source="page")
        with store.reading() as connection:
            before = connection.execute("SELECT * FROM _sqlite_migrations").fetchall()
    with AnnotationStore(tmp_path) as store, store.reading() as connection:
        after = connection.execute("SELECT * FROM _sqlite_migrations").fetchall()
        assert [tuple(row) for row in after] == [tuple(row) for row in before]
        assert newer_migrations(connection) == []
        assert store.get_clip(clip.id) == clip


def test_every_table_is_strict(tmp_path):
    with AnnotationStore(tmp_path) as store, store.reading() as connection:
        rows = connection.execute("SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND schema = 'main'")
        loose = {row["name"] for row in rows if not row["strict"]}
    assert loose <= {"_sqlite_migrations", "sqlite_schema", "sqlite_sequence"}


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "annotations.db").write_bytes(b"no database at all " * 100)
    with pytest.raises(StoreError, match="is damaged or no database"):
        AnnotationStore(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be used \(Not a directory|cannot be used \(File exists"):
        AnnotationStore(tmp_path / "file" / "data")
    with pytest.raises(StoreError, match="cannot be used"):
        AnnotationStore(tmp_path / "file")


OPENER = """
import os, sys
from pathlib import Path
from annotations.errors import StoreError
from annotations.store import AnnotationStore
if os.geteuid() == 0:
    os.setuid(65534)  # Nobody: root may write everywhere.
try:
    AnnotationStore(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
@pytest.mark.parametrize("there", [False, True])
def test_a_folder_without_permission_is_named(tmp_path, there):
    folder = tmp_path / "data"
    if there:
        AnnotationStore(folder).close()
        for path in (*folder.iterdir(), folder):
            path.chmod(0o555 if path.is_dir() else 0o444)
    tmp_path.chmod(0o555)
    said, complaint = start(OPENER, folder).communicate(timeout=60)
    assert complaint == ""
    assert re.fullmatch(r"The (folder|store) .* cannot be (written to|opened for writing) .*[.]\n", said)


def test_what_the_operating_system_refuses_is_said_in_words():
    full = explain_os(OSError(errno.ENOSPC, "No space left on device"), Path("/d"))
    assert full == "The disk is full: nothing was saved to /d. Free some space and save again."
    denied = explain_os(OSError(errno.EROFS, "Read-only file system"), Path("/d"))
    assert denied == (
        "The folder /d cannot be written to (Read-only file system). Check its permissions, or choose another."
    )


class SmallDatabase(StoreDatabase):
    """A database that may not grow: SQLite itself then reports a full disk."""

    limited = False

    def _connect(self):
        connection = super()._connect()
        if self.limited:
            connection.execute("PRAGMA max_page_count = 1")
        return connection


def test_a_full_disk_under_the_database_leaves_nothing_half_saved(tmp_path):
    with AnnotationStore(tmp_path) as store:
        store.database.close()
        store.database = SmallDatabase(tmp_path / "annotations.db")
        store.ensure_base_version("embedded", "a" * 64)
        store.database.limited = True
        saved = 0
        with pytest.raises(
            StoreError, match="^The disk is full: nothing was saved to .* Free some space and save again"
        ):
            for seed in range(1000):
                save(store, seed)
                saved += 1
        store.database.limited = False
        assert len(list_clips(store)) == saved == len(list(tmp_path.rglob("*.flac")))
        assert store.database.problems() == []
        save(store, 5000)


def save(store, seed):
    store.save_feedback(
        recording(seed),
        answer(),
        NewVote("ann", "accept", label="fear", transcript="x" * 500),
        NewClip("page", grants=grant(["research"], "ann")),
    )


@pytest.fixture
def small_disk(tmp_path):
    """A real disk of 2 MB."""
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small disk can only be made by root")
    yield tmp_path
    subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_a_truly_full_disk_loses_nothing_and_says_so(small_disk):
    with AnnotationStore(small_disk) as store:
        store.ensure_base_version("embedded", "a" * 64)
        saved = 0
        with pytest.raises(StoreError, match=r"^The disk is full: nothing was saved to .*\. Free some space"):
            for seed in range(1000):
                save(store, seed)
                saved += 1
        clips = list_clips(store)
        assert len(clips) == saved > 0
        assert sum(vote.verdict == "accept" for vote in effective_corrections(store)) == saved
        assert all(store.clip_path(clip).is_file() for clip in clips)
        assert not list(small_disk.rglob(".tmp-*"))
        assert store.database.problems() == []
        store.clip_path(clips[0]).unlink()
        with store.reading() as connection:
            assert connection.execute("SELECT count(*) FROM clips").fetchone()[0] == saved


def test_a_crash_between_recording_and_row_leaves_a_file_that_is_found(tmp_path):
    code = """
import os, sys
from pathlib import Path
from annotations.store import AnnotationStore
from tests.unit.stored import recording
AnnotationStore(Path(sys.argv[1])).write_clip(recording(), lambda connection: os._exit(9))
"""
    assert start(code, tmp_path).wait(timeout=60) == 9
    with AnnotationStore(tmp_path) as store:
        assert list_clips(store) == []
        assert inspect(store).orphans == (f"clips/{recording().sha256[:2]}/{recording().sha256}.flac",)
        store.add_clip(recording(), source="page")
        assert inspect(store).orphans == ()


class OvertakenDatabase(StoreDatabase):
    """A database that another process writes to just before our first write."""

    overtake = None

    def writing(self):
        overtake, self.overtake = self.overtake, None
        if overtake:
            overtake()
        return super().writing()


def test_a_failed_save_spares_the_recording_that_another_process_has_stored_meanwhile(tmp_path):
    with AnnotationStore(tmp_path) as other, AnnotationStore(tmp_path) as store:
        store.database.close()
        store.database = OvertakenDatabase(tmp_path / "annotations.db")
        store.database.overtake = lambda: other.add_clip(recording(), source="page")
        with pytest.raises(StoreError, match="refused the operation"):
            store.write_clip(recording(), lambda connection: connection.execute("DELETE FROM clips"))
        (clip,) = list_clips(other)
        assert other.clip_path(clip).is_file()
