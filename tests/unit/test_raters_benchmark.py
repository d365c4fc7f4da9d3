from pathlib import Path

import numpy as np
import pytest

from benchmarks.loop.raters import Condition, main, majority, read_confusion, simulate, summarise

TABLE = "intended,anger,fear,neutral\nanger,0.7,0.1,0.2\nfear,0.1,0.6,0.3\nneutral,0.05,0.05,0.9\n"


def test_a_drawn_collection_gives_four_figures(tmp_path: Path) -> None:
    path = tmp_path / "confusion.csv"
    path.write_text(TABLE)
    table = read_confusion(path)
    assert table.sum(1).tolist() == pytest.approx([1, 0, 1, 0, 1, 0, 0])
    condition = Condition(per_clip=6, clips=150, raters=10)
    plain, weighed, *briers = simulate(table, condition, seed=0)
    assert simulate(table, condition, seed=0) == (plain, weighed, *briers)
    # Two of ten raters are spammers: knowing them is worth something.
    assert 0.5 < plain < weighed <= 1
    assert all(0 <= brier <= 2 for brier in briers)


def test_majority_and_summary() -> None:
    assert majority(np.array([0, 0, 1]), np.array([0, 2, 2]))[0, [0, 2]].tolist() == [0.5, 0.5]
    found = summarise(np.array([[0.4, 0.5, 1, 1], [0.4, 0.6, 1, 1], [0.4, 0.55, 1, 1]]))
    assert found["difference"][0] == pytest.approx(0.15)
    assert 0 < found["difference"][1] < 0.15 < found["difference"][2]


def test_missing_data_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--data", str(tmp_path), "--quick"]) == 2
    assert "confusion.csv" in capsys.readouterr().err
