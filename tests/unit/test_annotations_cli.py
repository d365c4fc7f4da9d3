import json
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from annotations.cli import main
from annotations.store import AnnotationStore
from tests.unit.stored import recording

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for seed in range(2):
        soundfile.write(tmp_path / "in" / f"{seed}.wav", recording(seed).signal, 16_000, subtype="PCM_16")
    (tmp_path / "in" / "metadata.csv").write_text("file_name,label,speaker\n0.wav,fear,a\n1.wav,anger,b\n")
    return tmp_path / "in"


def test_import_stats_and_export_as_commands(tmp_path, folder, monkeypatch, capsys):
    monkeypatch.setenv("SER_DATA_DIR", str(tmp_path / "data"))
    command = [sys.executable, "-m", "annotations", "import", str(folder), "--labels", "--consent", "research,training"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2 clips added, 0 there already, 2 votes added.\n")
    assert main(["--data-dir", str(tmp_path / "data"), "stats", "--json"]) == 0
    numbers = json.loads(capsys.readouterr().out)
    assert (numbers["clips"], numbers["votes"], numbers["labels"]["fear"]) == (2, 2, 1)
    export = ["export", "--format", "audiofolder", "--out", str(tmp_path / "out")]
    assert main([*export, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"clips": 2, "votes": 2, "without_consent": 0, "missing": []}
    assert main(export) == 2


def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(tmp_path, folder, capsys):
    assert main(["--data-dir", str(tmp_path / "data"), "import", str(folder)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("Nothing is stored without consent. Consent to at least one of research, training")
    assert main(["--data-dir", str(tmp_path / "none"), "stats"]) == 2
    assert capsys.readouterr().err == (
        f"There is no store in {tmp_path / 'none'}. Name its folder with --data-dir, or import something first.\n"
    )
    assert not (tmp_path / "none").exists()


def test_a_bad_file_is_named_and_gives_exit_code_1(tmp_path, folder, capsys):
    (folder / "metadata.csv").unlink()
    (folder / "bad.wav").write_bytes(b"nothing")
    assert main(["--data-dir", str(tmp_path / "data"), "import", str(folder), "--consent", "research", "--json"]) == 1
    said = capsys.readouterr()
    assert "bad.wav: " in said.err
    report = json.loads(said.out)
    assert (report["added"], [entry["file"] for entry in report["failed"]]) == (2, ["bad.wav"])


def test_check_finds_orphans_and_missing_recordings(tmp_path, folder, capsys):
    data = str(tmp_path / "data")
    main(["--data-dir", data, "import", str(folder), "--consent", "research"])
    capsys.readouterr()
    assert main(["--data-dir", data, "check"]) == 0
    assert capsys.readouterr().out == "All is well.\n"
    with AnnotationStore(tmp_path / "data") as store:
        clip = store.get_clip(1)
        path = store.clip_path(clip)
        path.rename(path.with_name("0" * 64 + ".flac"))
    assert main(["--data-dir", data, "check", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["missing"] == [clip.sha256]
    assert [Path(name).stem for name in found["orphans"]] == ["0" * 64]
    assert found["problems"] == []


def test_stats_for_people_name_every_number(tmp_path, folder, capsys):
    main(["--data-dir", str(tmp_path / "data"), "import", str(folder), "--consent", "research"])
    capsys.readouterr()
    assert main(["--data-dir", str(tmp_path / "data"), "stats"]) == 0
    said = capsys.readouterr().out
    assert "clips           2\n" in said
    assert "consent         research 2, training 0, publication 0\n" in said
