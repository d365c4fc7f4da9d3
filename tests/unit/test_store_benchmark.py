import json

import pytest

from benchmarks.store.__main__ import main


@pytest.mark.slow
def test_the_benchmark_counts_and_loses_nothing(capsys):
    assert main(["--clips", "200", "--votes", "1", "--kills", "1", "--rounds", "1", "--seed", "7", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["clips"], result["kills"], result["seed"], result["saves"]) == (200, 1, 7, 20)
    assert (result["lost_votes"], result["locked_errors"], result["integrity"]) == (0, 0, "ok")
    assert (result["clips_without_recording"], result["clips_voted_on_too_often"]) == (0, 0)
    assert 0 < result["queue_p50_ms"] <= result["queue_p95_ms"]
    assert 0 < result["save_p50_ms"] <= result["save_p95_ms"]
    assert len(result["queue_p95_ms_by_order"]) == 8
    assert {"versions", "machine", "acknowledged"} <= set(result)
