from pathlib import Path

import pytest

from annotations.learning.config import status_path
from annotations.learning.runs.status import TrainingStatus, read_status, write_status


def test_what_is_written_is_read(tmp_path: Path) -> None:
    status = TrainingStatus(
        state="running", run_id=3, epoch=2, curve=({"epoch": 1, "loss": 1.5, "uar": None},)
    ).changed()
    write_status(tmp_path, status)
    assert read_status(tmp_path, 3) == status
    assert status.updated_at


def test_a_run_without_a_file_has_no_status(tmp_path: Path) -> None:
    assert read_status(tmp_path, 1) == TrainingStatus(run_id=1)


def test_no_half_written_file_is_left(tmp_path: Path) -> None:
    for epoch in range(20):
        write_status(tmp_path, TrainingStatus(run_id=1, epoch=epoch))
    assert [p.name for p in status_path(tmp_path, 1).parent.iterdir()] == ["status.json"]


def test_idle_has_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="without a run"):
        write_status(tmp_path, TrainingStatus())
