"""A training process yields to the rest of the machine, and says what it gets of it."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from annotations.learning.config import run_folder
from annotations.learning.runs.process import NICENESS, ProcessorUse, processor_use, spawn_worker
from annotations.learning.runs.retrainer import with_processor_use
from annotations.learning.runs.status import TrainingStatus

STEP_BACK = """
import os
from pathlib import Path
from annotations.learning.runs.process import yield_the_processor
yield_the_processor()
group = Path("/proc/self/autogroup")
print(os.nice(0), group.read_text().split()[-1] if group.exists() else "none", os.sched_getscheduler(0))
yield_the_processor()
print(os.nice(0))
"""


def test_it_yields_within_its_session_and_among_sessions_and_is_never_idle() -> None:
    # In a session of its own, as it is started: the group of this one must stay as it is.
    found = subprocess.run(
        [sys.executable, "-c", STEP_BACK],
        cwd=Path(__file__).resolve().parents[2],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert int(found[0]) >= NICENESS == 10
    assert found[1] == ("10" if Path("/proc/self/autogroup").exists() else "none")
    assert found[2] == str(os.SCHED_OTHER), "an idle policy starves it next to any other work"
    assert found[3] == found[0], "to say it twice changes nothing"


def test_a_spawned_worker_yields_before_it_has_loaded_anything(tmp_path: Path) -> None:
    run_folder(tmp_path, 1).mkdir(parents=True)
    worker = spawn_worker(tmp_path, 1)
    try:
        # Its interpreter is only just starting: it cannot have done this itself.
        assert os.getpriority(os.PRIO_PROCESS, worker.pid) >= NICENESS
    finally:
        worker.kill()
        worker.wait()


def test_a_starved_worker_says_so_and_its_time_left_follows() -> None:
    busy = ProcessorUse(cpu=40.0, wall=60.0)
    starved = ProcessorUse(cpu=6.0, wall=180.0)
    assert not busy.starved and starved.starved and not ProcessorUse(0.1, 3.0).starved, "a start says nothing yet"
    assert starved.words() == "waiting for the processor: 6 s of CPU in 3 min"
    here = psutil.Process()
    status = TrainingStatus(
        state="running",
        run_id=1,
        message="Fitting.",
        eta=9.0,
        cpu_left=10.0,
        pid=here.pid,
        pid_created=here.create_time(),
    )
    use = processor_use(here)
    found = with_processor_use(status)
    assert use is not None and found.eta == pytest.approx(10.0 / use.share, rel=0.5)
    assert with_processor_use(status.changed(device="cuda")).eta == 9.0, "a GPU's work is not measured like that"
