import contextlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import psutil
import pyarrow.dataset as ds
import pytest
import soundfile

from ser.cli import main
from ser.scoring.parts import Item, list_items, plan_parts, prepare
from ser.testing import synthetic_speech


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


def test_it_goes_on_where_it_stopped_and_scores_changed_files_again(recordings: Path, tmp_path: Path) -> None:
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


def test_a_missing_model_is_said_by_the_worker(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert recognize(recordings, tmp_path / "out.parquet", "--model", str(tmp_path / "none")) == 2
    assert "There is no folder" in capsys.readouterr().err


DEADLY = """
import ctypes, os, pathlib, signal, sys, time

def watch(event, arguments):
    if event != "open" or not isinstance(arguments[0], (str, os.PathLike)):
        return
    path = pathlib.Path(arguments[0])
    if path.name == "kills.wav":
        ctypes.string_at(0)
    if path.name == "kills-once.wav" and not path.with_suffix(".killed").exists():
        path.with_suffix(".killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("slow"):
        time.sleep(0.3)

sys.addaudithook(watch)
"""
"""Python runs it at its start, in the workers too: the process that opens one of these recordings dies at once, by an
address that is not there as in a decoder with a mistake, or by a signal; some take their time."""


def write_voices(folder: Path, names: Sequence[str]) -> Path:
    folder.mkdir()
    (folder.parent / "sitecustomize.py").write_text(DEADLY)
    for number, name in enumerate(names):
        soundfile.write(folder / f"{name}.wav", synthetic_speech(1.2, seed=number).signal, 16_000)
    return folder


def started(folder: Path, out: Path, *options: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "ser", "recognize", str(folder), "--output", str(out), "--transcriber", "none"]
    path = os.pathsep.join([str(folder.parent), str(Path(__file__).parents[2])])
    return subprocess.Popen(
        [*command, *options], env=os.environ | {"PYTHONPATH": path}, stderr=subprocess.DEVNULL, start_new_session=True
    )


@pytest.mark.parametrize("engine", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_recordings_that_kill_their_scorer_cost_no_other_one(tmp_path: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    folder, out = write_voices(tmp_path / "recordings", ("a", "b", "kills", "kills-once", "y", "z")), tmp_path / "out"
    code = started(folder, out, "--engine", engine, "--workers", "1").wait(600)
    found = rows(out)
    assert code == 1 and len(found) == 6 and (folder / "kills-once.killed").exists()
    # Synthetic speech may be no speech to the detector; a refusal is an answer too.
    assert [name for name, row in found.items() if "processes died of this" in str(row["error"])] == ["kills.wav"]
    assert not list(out.glob(".part*"))


def wait_for_parts(out: Path, least: int, run: "subprocess.Popen[bytes]") -> None:
    """Until so many parts are written, and more are to come."""
    end = time.monotonic() + 300
    while len(list(out.glob("part-*"))) < least:
        assert run.poll() is None and time.monotonic() < end, f"it ended ({run.poll()}), or wrote nothing"
        time.sleep(0.3)


@pytest.mark.slow
def test_a_worker_of_two_that_is_killed_from_outside_costs_nothing(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    folder, out = write_voices(tmp_path / "recordings", [f"slow{n:03}" for n in range(96)]), tmp_path / "out"
    run = started(folder, out, "--engine", "ray", "--workers", "2")
    wait_for_parts(out, 1, run)
    workers = [
        process
        for process in psutil.Process(run.pid).children(recursive=True)
        if "PartScorer" in " ".join(process.cmdline())
    ]
    assert len(workers) == 2
    workers[0].kill()
    assert len(list(out.glob("part-*"))) < 16, "all was over before it was killed"
    run.wait(600)
    found = rows(out)
    assert sorted(found) == [f"slow{n:03}.wav" for n in range(96)]
    assert not [row for row in found.values() if "died" in str(row["error"])]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["local", "ray"])
def test_a_run_that_is_killed_goes_on_when_the_command_is_given_again(tmp_path: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray")
    folder, out = write_voices(tmp_path / "recordings", [f"slow{n:03}" for n in range(32)]), tmp_path / "out"
    run = started(folder, out, "--engine", engine, "--workers", "2")
    wait_for_parts(out, 2, run)
    everybody = psutil.Process(run.pid).children(recursive=True)
    run.kill()
    run.wait()
    for process in everybody if engine == "ray" else ():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert 2 <= len(before) < 16
    started(folder, out, "--engine", engine, "--workers", "2").wait(600)
    assert sorted(rows(out)) == [f"slow{n:03}.wav" for n in range(32)]
    # What had an answer was not scored again.
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
