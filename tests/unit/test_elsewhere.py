"""Stores saved elsewhere come back on an empty disk, and what was erased is nowhere."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from annotations.cli import main
from annotations.elsewhere.journal import end_journal
from annotations.elsewhere.lease import LEASE, WRITER, Writer
from annotations.elsewhere.places import open_place
from annotations.elsewhere.restoring import restore, take_over
from annotations.elsewhere.saver import Saver, connect
from annotations.errors import StoreError, TakenOverError
from annotations.maintenance.erasure.erase import erase_clip, erase_rater, withdraw_consent
from annotations.store import AnnotationStore, NewVote
from annotations.store.erasure_log import list_erasures, was_erased
from annotations.store.media import media_path
from tests.unit.elsewhere_stores import (
    RATER,
    SECRET,
    begin,
    contents,
    do_everything,
    joined,
    rebuilt,
    save_vote,
)
from tests.unit.forked_workers import wait_for
from tests.unit.stored import recording

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "page"))


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def files_with(folder: Path, *needles: str | bytes) -> list[str]:
    """Every file under a folder that holds one of some texts or bytes."""
    wanted = [needle.encode() if isinstance(needle, str) else needle for needle in needles]
    return [name for name in sorted(files_in(folder)) if any(one in (folder / name).read_bytes() for one in wanted)]


def test_all_that_was_done_comes_back(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with begin(tmp_path / "a") as store:
        copier = joined(store, place)
        assert copier.save() == "snapshots"
        do_everything(store, tmp_path)
        assert copier.save() == "fragments" and copier.save() is None
        # Further changes of the same rows, and one more of everything that a later fragment has to fit.
        save_vote(store, 4)
        store.undo_last_correction("bob")
        with store.database.writing() as connection:
            connection.execute("DELETE FROM suspects")
        assert copier.save() == "fragments"
        left = contents(store)
        assert all(
            left[table]
            for table in left
            if table not in ("suspects", "missing_media", "erasures", "erasure_runs", "erased_recordings")
        )
        with rebuilt(place, tmp_path / "b") as back:
            assert contents(back) == left
            assert back.database.problems() == []
            assert back.active_version().name == "v1"
            for folder in ("clips", "models"):
                assert files_in(tmp_path / "b" / folder) == files_in(tmp_path / "a" / folder)
            weights = "models/v1/weights.safetensors"
            assert (tmp_path / "b" / weights).read_bytes() == (tmp_path / "a" / weights).read_bytes()
            # Numbers of what was saved are never given again.
            clip, vote = save_vote(back, 5)
            assert (clip, vote) == (
                max(row[0] for row in left["clips"]) + 1,
                max(row[0] for row in left["corrections"]) + 1,
            )
            # The second disk goes on where the first one was, snapshot and fragments of both in one line.
            second = joined(back, place)
            second.save()
            left = contents(back)
    with rebuilt(place, tmp_path / "c") as store:
        assert contents(store) == left
        copier = joined(store, place)
        assert copier.save(snapshot=True) == "snapshots"
        kinds = sorted(name.partition("/")[0] for name in files_in(place) if "/" in name and "clips" not in name)
        assert kinds == ["models", "models", "snapshots"], "what a snapshot covers is pruned"
    with rebuilt(place, tmp_path / "d") as store:
        assert contents(store) == left


def test_what_was_erased_is_nowhere_elsewhere(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with begin(tmp_path / "a") as store:
        copier = joined(store, place)
        copier.save()
        do_everything(store, tmp_path)
        copier.save()
        clip = store.get_clip(1)
        flac = (tmp_path / "a" / clip.path).read_bytes()
        other = store.get_clip(2)
        assert files_with(place, SECRET, RATER, clip.sha256) and files_with(place, flac)
        erase_rater(store, f"{RATER}-2", by="boss")
        erase_clip(store, clip.id, by="boss")
        withdraw_consent(store, other.id, other.consent, "boss")
        # A vote that comes meanwhile is saved with the erasure.
        kept, _ = save_vote(store, 7, "cara", "plain words")
        assert copier.save() == "snapshots"
        left = contents(store)
        assert files_with(place, SECRET, RATER, clip.sha256, flac, other.sha256) == []
        assert str(media_path(clip.sha256)) not in files_in(place)
        assert files_with(tmp_path / "a", SECRET, RATER) == [], "nor in the journal here"
        assert copier.save() is None
    with rebuilt(place, tmp_path / "b") as store:
        assert contents(store) == left
        assert was_erased(store, clip.sha256) and len(list_erasures(store)) == 3
        assert store.get_clip(kept).sha256 == recording(7).sha256
        assert files_with(tmp_path / "b", SECRET, RATER, clip.sha256) == []


def test_two_programs_never_write_to_one_place(tmp_path: Path) -> None:
    place = tmp_path / "place"
    code = (
        "import sys, time; from pathlib import Path; from tests.unit.elsewhere_stores import begin, joined, save_vote;"
        "store = begin(Path(sys.argv[1])); copier = joined(store, sys.argv[2]); copier.save(); print('in', flush=True);"
        "time.sleep(600)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "other"), str(place)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None and other.stdout.readline() == "in\n"
        with pytest.raises(TakenOverError) as error:
            connect(str(place), tmp_path / "new")
        assert f"belongs to process {other.pid} of this machine" in str(error.value)
        assert not (tmp_path / "new").exists()
    finally:
        other.kill()
        other.wait()
    # Dead without a word: its store is taken up at once.
    with rebuilt(place, tmp_path / "new") as store:
        copier = joined(store, place)
        save_vote(store, 1)
        copier.save()
    # The first disk wakes up again, and must not write over what the second one has.
    with AnnotationStore(tmp_path / "other") as old, pytest.raises(StoreError, match="continued from another disk"):
        joined(old, place)
    with begin(tmp_path / "foreign") as foreign, pytest.raises(StoreError, match="holds another store"):
        joined(foreign, place)


def test_a_writer_on_another_machine_is_waited_for(tmp_path: Path) -> None:
    place = open_place(str(tmp_path / "place"))
    with begin(tmp_path / "a") as store:
        joined(store, tmp_path / "place").save()
    at = datetime.now(UTC)
    writer = Writer("d" * 16, "the Space them/studio", "container", 7, 0.0, at.isoformat())
    place.apply({WRITER: writer.as_bytes()}, [], "as from elsewhere")
    with pytest.raises(
        TakenOverError, match="belongs to the Space them/studio, .* this store is free from 20.* UTC on"
    ):
        connect(str(tmp_path / "place"), tmp_path / "b")
    late = replace(writer, at=(at - 1.1 * LEASE).isoformat())
    place.apply({WRITER: late.as_bytes()}, [], "silent for long")
    _, report = connect(str(tmp_path / "place"), tmp_path / "b")
    assert report is not None


def test_who_was_taken_over_saves_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new container of the same Space comes while the old one still runs."""
    monkeypatch.setenv("SPACE_ID", "ann/studio")
    place = tmp_path / "place"
    with begin(tmp_path / "a") as store:
        saver = Saver(store, open_place(str(place)), window=1.0).start()
        wait_for(lambda: saver.status().saved_at)
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("socket.gethostname", lambda: "another container")
            with rebuilt(place, tmp_path / "b") as new:
                joined(new, place).save(snapshot=True)
        save_vote(store, 1)
        wait_for(lambda: saver.status().taken_over)
        before = files_in(place)
        saver.stop()
        assert files_in(place) == before
        assert "the Space ann/studio has taken over the store" in str(saver.status().error)
        assert saver.status().waiting > 0


def test_a_place_out_of_reach_is_tried_again_and_blocks_no_vote(tmp_path: Path) -> None:
    place = tmp_path / "mounted" / "place"
    with begin(tmp_path / "a") as store:
        saver = Saver(store, open_place(str(place)), window=1.0).start()
        wait_for(lambda: saver.status().saved_at)
        place.rename(tmp_path / "unplugged")
        clip, _ = save_vote(store, 1)
        wait_for(lambda: saver.status().failures >= 2)
        status = saver.status()
        assert status.waiting > 0 and "Check that its disk is there" in str(status.error)
        store.add_correction(clip, NewVote("bob", "correct", "anger"))
        (tmp_path / "unplugged").rename(place)
        wait_for(lambda: not saver.status().waiting and not saver.status().error)
        assert (saver.status().error, saver.status().failures) == (None, 0) and saver.status().retries >= 2
        saver.stop()
        left = contents(store)
    # A start while it is out of reach: the disk is not empty, so people may go on.
    place.rename(tmp_path / "unplugged")
    with AnnotationStore(tmp_path / "a") as store:
        saver = Saver(store, open_place(str(place)), window=1.0)
        with pytest.raises(StoreError, match="Check that its disk is mounted"):
            saver.start()
    shutil.rmtree(place.parent)
    place.parent.write_text("a file where the disk was")
    with AnnotationStore(tmp_path / "a") as store:
        saver = Saver(store, open_place(str(place)), window=1.0).start()
        assert saver.status().failures >= 1
        save_vote(store, 2)
        place.parent.unlink()
        place.parent.mkdir()
        (tmp_path / "unplugged").rename(place)
        wait_for(lambda: not saver.status().waiting and not saver.status().failures)
        saver.stop()
        assert contents(store) != left
        left = contents(store)
    with rebuilt(place, tmp_path / "b") as store:
        assert contents(store) == left


def test_damage_is_named_and_can_be_left_out(tmp_path: Path) -> None:
    place = tmp_path / "place"
    with begin(tmp_path / "a") as store:
        copier = joined(store, place)
        copier.save()
        votes = []
        for seed in range(3):
            votes.append(save_vote(store, seed)[1])
            copier.save()
    first, second, third = sorted((place / "fragments").iterdir())
    whole = second.read_text(encoding="utf-8")
    for damage in (whole[: len(whole) // 2], whole.replace('"clip_id"', '"clap_id"')):
        second.write_text(damage, encoding="utf-8")
        with pytest.raises(StoreError, match=f"is damaged: fragments/{second.name}"):
            take_over(open_place(str(place)), tmp_path / "b")
        assert not (tmp_path / "b" / "annotations.db").exists()
    report = restore(open_place(str(place)), tmp_path / "c", partial=True)
    assert (report.votes, report.fragments, len(report.left_out)) == (2, 2, 1)
    second.unlink()
    with pytest.raises(StoreError, match=f"fragments/{third.name}: .* what came before it is missing"):
        take_over(open_place(str(place)), tmp_path / "b")
    second.write_text(whole, encoding="utf-8")
    flac = next((place / "clips").rglob("*.flac"))
    flac.unlink()
    with pytest.raises(StoreError, match=f"lacks files: 1 .*{flac.name}"):
        take_over(open_place(str(place)), tmp_path / "b")
    report = restore(open_place(str(place)), tmp_path / "d", partial=True)
    assert report.missing == [flac.relative_to(place).as_posix()] and not report.is_whole and report.votes == 3


def test_the_journal_is_there_only_while_somebody_saves(tmp_path: Path) -> None:
    with begin(tmp_path / "a") as store:
        joined(store, tmp_path / "place").save()
        save_vote(store, 1)
        end_journal(store)
        with store.reading() as connection:
            assert connection.execute("SELECT count(*) FROM elsewhere_changes").fetchone()[0] == 0
        save_vote(store, 2)
        # What went unnoticed meanwhile is in the snapshot that follows.
        saver = Saver(store, open_place(str(tmp_path / "place")), window=1.0).start()
        wait_for(lambda: saver.status().snapshot_at)
        # Another program on the same folder, which saves nothing, takes the journal away while it is needed.
        before = saver.status().snapshot_at
        end_journal(store)
        save_vote(store, 3)
        wait_for(lambda: saver.status().snapshot_at != before)
        saver.stop()
        left = contents(store)
    with rebuilt(tmp_path / "place", tmp_path / "b") as store:
        assert contents(store) == left


def test_backup_and_restore_by_hand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place, here = tmp_path / "place", tmp_path / "a"

    def run(*arguments: object, data_dir: Path = here) -> tuple[int, str, str]:
        code = main(["--data-dir", str(data_dir), *map(str, arguments)])
        return code, *capsys.readouterr()

    with begin(here) as store:
        do_everything(store, tmp_path)
        left = contents(store)
        code, out, _ = run("backup", place, "--json")
        clips = len(left["clips"])
        assert (code, json.loads(out)["clips"], json.loads(out)["recordings"]) == (0, clips, clips)
        assert contents(store) == left
        # Again: what is new comes, what was erased goes, what is there stays.
        erase_clip(store, 1, by="boss")
        save_vote(store, 4)
        assert run("backup", place)[0] == 0
        assert len(list((place / "snapshots").iterdir())) == 1 and not files_with(place, SECRET.encode() + b" 1")
        left = contents(store)
    code, out, err = run("restore", place, "--json", data_dir=tmp_path / "b")
    assert (code, json.loads(out)["votes"]) == (0, len(left["corrections"])) and "Restoring" in err
    with AnnotationStore(tmp_path / "b") as store:
        assert contents(store) == left
    assert run("restore", place, data_dir=tmp_path / "b")[0] == 2, "not over what is there"
    with begin(tmp_path / "other") as store:
        save_vote(store, 9)
    code, _, err = run("backup", place, data_dir=tmp_path / "other")
    assert code == 2 and "holds another store" in err
    assert run("restore", tmp_path / "nowhere", data_dir=tmp_path / "c")[0] == 2
    code, out, _ = run("restore", place, "--overwrite", data_dir=tmp_path / "other")
    assert code == 0 and "out of reach of erasures" in out
    with AnnotationStore(tmp_path / "other") as store:
        assert contents(store) == left
    (aside,) = tmp_path.glob("other.replaced-*")
    with AnnotationStore(aside) as store:
        assert store.get_clip(1).sha256 == recording(9).sha256
    # A file is missing there: the rest comes, if asked for, and the exit code says so.
    next((place / "clips").rglob("*.flac")).unlink()
    assert run("restore", place, data_dir=tmp_path / "d")[0] == 2
    assert run("restore", place, "--partial", data_dir=tmp_path / "d")[0] == 1
    # The page saves to the same place from now on.
    shutil.rmtree(place)
    assert run("backup", place)[0] == 0
    with AnnotationStore(here) as store:
        joined(store, place).save()
        left = contents(store)
    with rebuilt(place, tmp_path / "e") as store:
        assert contents(store) == left
