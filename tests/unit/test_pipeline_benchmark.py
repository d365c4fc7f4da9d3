import json
import shutil
from pathlib import Path

import pytest

from benchmarks.speed.pipeline import STEPS, main


@pytest.mark.slow
def test_steps_memory_and_imports_are_measured(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audio").mkdir()
    for path in sorted((shared_data / "ravdess" / "audio").iterdir())[:2]:
        shutil.copy(path, tmp_path / "audio")
    assert main(["--data", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["clips"], result["refused"], result["cores"]) == (2, 0, 1)
    assert all(result["median_ms"][step] > 0.0 for step in STEPS)
    assert result["median_ms"]["total"] >= sum(result["min_ms"][step] for step in STEPS)
    assert 0 < result["resident_mb_after_first"] <= result["resident_mb"] + 50
    assert result["cold_cpu_s"] > 0.0
    assert result["imported"] == []


def test_a_folder_without_recordings_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path)]) == 2
    assert "has no recordings in audio/" in capsys.readouterr().err
