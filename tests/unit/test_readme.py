"""Every example of the README runs as it stands there."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from annotations.raters.votes import effective_corrections
from ser.config import Settings
from ser.testing import synthetic_speech
from ser.types import SAMPLING_RATE
from ui.app import build_app, launch_options
from ui.backend.startup import load_parts

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
LABELS = ("anger", "happiness", "neutral", "sadness")


def blocks(language: str, heading: str) -> list[str]:
    """The code blocks of a language in the section of that heading."""
    section = re.split(r"^## ", README, flags=re.MULTILINE)
    text = next(part for part in section if part.startswith(heading))
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `clip.wav`, `talk.wav` and a small `corpus`, as the examples take them for granted."""
    folder = tmp_path_factory.mktemp("desk")
    soundfile.write(folder / "clip.wav", synthetic_speech(2.5, pitch=100).signal, SAMPLING_RATE)
    soundfile.write(folder / "talk.wav", synthetic_speech(6.0, pitch=120).signal, SAMPLING_RATE)
    (folder / "corpus").mkdir()
    rows = ["file_name,label,speaker"]
    for number in range(24):
        name = f"{number}.wav"
        audio = synthetic_speech(1.0, pitch=90 + 20 * (number % 4), seed=number)
        soundfile.write(folder / "corpus" / name, audio.signal, SAMPLING_RATE)
        rows.append(f"{name},{LABELS[number % 4]},speaker {number // 4}")
    (folder / "corpus" / "metadata.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_the_python_example(desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(desk)
    (example,) = blocks("python", "From Python")
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) >= 3 and printed[-1].startswith("True {'anger': ")


def test_the_api_example(
    desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    services = load_parts(tmp_path / "data", Settings(), fake=True)
    demo = build_app(services)
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, **launch_options(services))
    monkeypatch.chdir(desk)
    (example,) = blocks("python", "Over the API")
    assert "http://127.0.0.1:7860" in example
    try:
        exec(compile(example.replace("http://127.0.0.1:7860", address), "README.md", "exec"), {})
    finally:
        demo.close()
    assert "1 idle" in capsys.readouterr().out
    (vote,) = effective_corrections(services.store)
    assert (vote.rater, vote.label) == ("ann", "sadness")


@pytest.mark.slow
def test_the_command_line_examples(desk: Path) -> None:
    (example,) = blocks("sh", "From the command line")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(desk / "cache")}
    for line in example.splitlines():
        words = shlex.split(line)
        assert words[0] == "python"
        result = subprocess.run(
            [sys.executable, *words[1:]], cwd=desk, env=environment, capture_output=True, text=True, timeout=300
        )
        assert result.returncode == 0, f"{line}\n{result.stdout}\n{result.stderr}"
        assert result.stdout, line


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    commands = [line for block in blocks("sh", "Start") for line in block.splitlines()]
    assert commands == ["make run", "make test"]
    for command in commands:
        plan = subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert "python" in plan.stdout


def test_the_front_matter_is_what_a_space_needs() -> None:
    matter = dict(line.split(": ", 1) for line in README.split("---")[1].strip().splitlines() if ": " in line)
    assert matter["sdk"] == "gradio" and matter["app_file"] == "app.py" and matter["python_version"] == '"3.12"'
    assert (ROOT / matter["app_file"]).is_file()
    assert len(matter["short_description"]) <= 60


def test_every_picture_is_there() -> None:
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file(), picture
