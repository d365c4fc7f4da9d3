"""A program is killed at random moments, each time with its disk: at most the window is lost."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from annotations.elsewhere.places import open_place
from annotations.elsewhere.restoring import restore
from annotations.store import AnnotationStore
from tests.unit.hub_stand_in import TOKEN, hub_stand_in
from tests.unit.test_elsewhere_hub import NAME

ROOT = Path(__file__).resolve().parents[2]

WINDOW = 1.0

MOST_LOST = 20.0
"""Seconds; a guard far above the window, as a busy machine may stop the program for so long."""


def kill_again_and_again(tmp_path: Path, url: str, kills: int, environment: dict[str, str]) -> tuple[int, float]:
    """Kill a program with its disk many times, and look what is left at each new start.

    Returns:
        How many votes were acknowledged, and the greatest loss of a kill in seconds.
    """
    draw = random.Random(1)
    everything, longest = 0, 0.0
    for number in range(kills):
        data = tmp_path / f"life {number}"
        command = [sys.executable, "-m", "tests.unit.saver_process", str(data), url, str(WINDOW), str(1000 * number)]
        process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(draw.uniform(0.0, 3.0))
        killed = time.monotonic()
        process.send_signal(signal.SIGKILL)
        lines = [line.split() for line in (first + process.stdout.read()).splitlines() if line.count(" ") == 2]
        process.wait()
        voted = {int(vote): float(at) for said, vote, at in lines if said == "vote"}
        safe = max((int(vote) for said, vote, _ in lines if said == "safe"), default=0)
        shutil.rmtree(data)
        there = look(tmp_path / "look", url)
        lost = set(voted) - there
        assert not {vote for vote in lost if vote <= safe}, "it was said to be saved"
        assert lost == {vote for vote in voted if vote >= min(lost, default=vote + 1)}, "what is lost are the last ones"
        everything += len(voted)
        if lost:
            longest = max(longest, killed - voted[min(lost)])
    assert everything > kills
    return everything, longest


def look(folder: Path, url: str) -> set[int]:
    """Restore a copy and look at it: votes that are there; each clip has its recording, and all is well."""
    report = restore(open_place(url), folder, say=lambda text: None)
    assert report.is_whole and not report.stray
    with AnnotationStore(folder) as store:
        assert store.database.problems() == []
        clips = store.fetch("SELECT count(*) FROM clips")[0][0]
        votes = {row["id"] for row in store.fetch("SELECT id FROM corrections")}
        assert report.recordings == clips == len(votes)
    shutil.rmtree(folder)
    return votes


def on_the_hub(run: Callable[[str, dict[str, str]], tuple[int, float]], monkeypatch: pytest.MonkeyPatch) -> None:
    with hub_stand_in() as hub:
        hub.large = (".flac", ".db", ".safetensors")
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        constants = "huggingface_hub.constants"
        monkeypatch.setattr(f"{constants}.ENDPOINT", hub.url)
        monkeypatch.setattr(f"{constants}.HF_HUB_DISABLE_XET", True)
        template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(f"{constants}.HUGGINGFACE_CO_URL_TEMPLATE", template)
        environment = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_OFFLINE": "0"}
        _, longest = run(f"hf://datasets/{NAME}", environment)
        assert longest < MOST_LOST and hub.unknown == []


def test_a_program_that_is_killed_with_its_disk_loses_at_most_the_window(tmp_path: Path) -> None:
    _, longest = kill_again_and_again(tmp_path, str(tmp_path / "place"), 3, {})
    assert longest < MOST_LOST


@pytest.mark.slow
def test_so_it_is_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on_the_hub(lambda url, environment: kill_again_and_again(tmp_path, url, 2, environment), monkeypatch)


@pytest.mark.slow
@pytest.mark.parametrize("where", ["folder", "hub"])
def test_fifty_kills(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(url: str, environment: dict[str, str]) -> tuple[int, float]:
        votes, longest = kill_again_and_again(tmp_path, url, 50, environment)
        print(f"{where}: {votes} votes in 50 lives, at most {longest:.2f} s lost")
        return votes, longest

    if where == "hub":
        on_the_hub(run, monkeypatch)
    else:
        assert run(str(tmp_path / "place"), {})[1] < MOST_LOST
