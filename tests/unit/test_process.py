"""A training process steps back behind the rest of the machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from annotations.learning.run_process import spawn_worker
from annotations.learning.run_status import run_folder

STEP_BACK = """
import os
from pathlib import Path
from annotations.learning.process import yield_the_processor
yield_the_processor()
group = Path("/proc/self/autogroup")
policy = os.sched_getscheduler(0) == os.SCHED_IDLE if hasattr(os, "SCHED_IDLE") else True
print(os.nice(0), group.read_text().split()[-1] if group.exists() else "none", policy)
yield_the_processor()
print(os.nice(0))
"""


def test_it_steps_back_within_its_session_and_among_sessions() -> None:
    # In a session of its own, as it is started: the group of this one must stay as it is.
    told = subprocess.run(
        [sys.executable, "-c", STEP_BACK],
        cwd=Path(__file__).resolve().parents[2],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert int(told[0]) >= 15
    assert told[1] == ("15" if Path("/proc/self/autogroup").exists() else "none")
    assert told[2] == "True", "in a container, niceness alone lets answers wait for the training"
    assert told[3] == told[0], "to say it twice changes nothing"


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="only Linux has this policy")
def test_a_spawned_worker_steps_back_before_it_has_loaded_anything(tmp_path: Path) -> None:
    run_folder(tmp_path, 1).mkdir(parents=True)
    worker = spawn_worker(tmp_path, 1)
    try:
        # Its interpreter is only just starting: it cannot have done this itself.
        assert os.sched_getscheduler(worker.pid) == os.SCHED_IDLE
        assert os.getpriority(os.PRIO_PROCESS, worker.pid) == 15
    finally:
        worker.kill()
        worker.wait()
