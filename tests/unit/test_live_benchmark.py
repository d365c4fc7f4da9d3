import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.live import arrived, main
from ser.testing import synthetic_speech


def test_missing_sound_is_counted_wherever_the_microphone_was_in_its_recording() -> None:
    played = synthetic_speech(4.0, seed=3).signal
    recorded = np.tile(played, 5)[20_000 : 20_000 + 10 * 16_000]
    assert arrived(recorded, played) == 1.0
    assert arrived(0.5 * recorded + 0.001 * np.random.default_rng(0).standard_normal(len(recorded)), played) == 1.0
    lost = np.concatenate([recorded[:40_000], recorded[56_000:100_000], recorded[108_000:]])
    assert arrived(lost, played) == pytest.approx(1 - 1.5 / 10, abs=0.005)
    assert arrived(np.random.default_rng(0).standard_normal(50_000).astype(np.float32), played) == 0.0


@pytest.mark.slow
def test_microphones_are_followed_side_by_side(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--data", str(shared_data), "--quick", "--sessions", "3", "--json"])
    result = json.loads(capsys.readouterr().out)
    print(result)
    assert code == (0 if result["met"] else 1) and result["sessions"] == 3
    assert result["arrived"] == 1.0 and result["of_clock"] == pytest.approx(1.0, abs=0.05)
    assert 0.25 <= result["behind"]["p50"] <= result["behind"]["p90"] <= result["behind"]["max"]
    assert 1 < result["answers_a_second"] <= 4 and 0 < result["server_cores"]
