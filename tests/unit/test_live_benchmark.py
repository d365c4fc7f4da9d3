import json
from pathlib import Path

import pytest

from benchmarks.speed.live import main


@pytest.mark.slow
def test_microphones_are_followed_side_by_side(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--data", str(shared_data), "--quick", "--sessions", "3", "--json"])
    result = json.loads(capsys.readouterr().out)
    print(result)
    assert code == (0 if result["met"] else 1) and result["sessions"] == 3
    assert 0.4 < result["behind"]["p50"] <= result["behind"]["p90"] <= result["behind"]["max"]
    assert 0 < result["answers_in_time"] <= 1 and 0 < result["processor_share"]
    assert result["regions"] >= 2
