"""A training process steps back behind the rest of the machine."""

import subprocess
import sys
from pathlib import Path

STEP_BACK = """
import os
from pathlib import Path
from annotations.learning.process import yield_the_processor
yield_the_processor()
group = Path("/proc/self/autogroup")
print(os.nice(0), group.read_text().split()[-1] if group.exists() else "none")
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
