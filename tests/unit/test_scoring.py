import os
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pyarrow.dataset as ds
import pytest
import soundfile

from ser.cli import main
from ser.scoring.parts import Item, list_items, plan_parts, prepare
from ser.testing import synthetic_speech

pytest.importorskip("ray")


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number in range(6):
        soundfile.write(folder / f"{number}.wav", synthetic_speech(1.5, seed=number).signal, 16_000)
    (folder / "torn.wav").write_bytes(b"RIFF but no more")
    return folder


def rows(folder: Path) -> dict[str, dict[str, object]]:
    found = ds.dataset(folder).to_table().to_pylist()
    assert max(Counter(row["file"] for row in found).values()) == 1
    return {Path(row["file"]).name: row for row in found}


def recognize(recordings: Path, out: Path, *options: str) -> int:
    return main(["recognize", str(recordings), "--output", str(out), "--transcriber", "none", *options])


def test_answers_are_written_once_and_bad_files_stand_alone(recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    assert recognize(recordings, out) == 1
    found = rows(out)
    assert len(found) == 7 and found["torn.wav"]["error"] and not found["torn.wav"]["label"]
    assert all(row["error"] is None or row["label"] is None for row in found.values())
    before = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert recognize(recordings, out) == 0
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == before


def test_it_goes_on_where_it_stopped_and_hears_changed_files_again(recordings: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    recognize(recordings, out)
    first = sorted(out.iterdir())[0]
    lost = set(ds.dataset(first).to_table().column("file").to_pylist())
    first.unlink()
    (out / ".part-half.parquet.1").write_bytes(b"PAR1")
    soundfile.write(recordings / "3.wav", synthetic_speech(2.5, seed=9).signal, 16_000)
    items = list_items(sorted(recordings.iterdir()))
    waiting = prepare(out, items)
    assert {item.file for item in waiting} == lost | {str(recordings / "3.wav")}
    recognize(recordings, out)
    assert len(rows(out)) == 7 and not list(out.glob(".part*"))


def test_every_recording_is_in_one_part() -> None:
    items = [Item(str(number), 1, 1) for number in range(999)]
    parts = plan_parts(items, 3)
    assert [item for part in parts for item in part.items] == items
    assert len({part.name for part in parts}) == len(parts) >= 24


def test_options_that_do_not_go_together(recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recognize", str(recordings), "--engine", "ray"]) == 2
    assert "need --output" in capsys.readouterr().err
    assert recognize(recordings, tmp_path / "out.parquet", "--same-speaker") == 2
    assert recognize(recordings, recordings / "0.wav") == 2
    assert "is a file" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_worker_costs_no_recording_and_doubles_none(tmp_path: Path) -> None:
    folder, out = tmp_path / "recordings", tmp_path / "out.parquet"
    folder.mkdir()
    for number in range(120):
        soundfile.write(folder / f"{number:03}.wav", synthetic_speech(2.0, seed=number).signal, 16_000)
    child = os.fork()
    if child == 0:
        os.execv(
            sys.executable,
            [sys.executable, "-m", "ser", "recognize", str(folder), "--output", str(out), "--engine", "ray",
             "--workers", "2", "--transcriber", "none"],
        )  # fmt: skip
    killed = None
    while killed is None and psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        done = len(list(out.glob("part-*"))) if out.is_dir() else 0
        if 2 <= done <= 12:
            family = psutil.Process(child).children(recursive=True)
            workers = [process for process in family if "PartScorer" in "".join(process.cmdline())]
            if workers:
                killed = workers[0]
                killed.kill()
        time.sleep(0.05)
    assert killed is not None
    _, status = os.waitpid(child, 0)
    assert len(rows(out)) == 120
    assert status >> 8 in (0, 1)
