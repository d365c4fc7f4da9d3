"""A program that is killed: it comes to an empty disk, restores, saves elsewhere, and votes without end.

Run as `python -m tests.unit.saver_process DATA_DIR URL WINDOW NUMBER`. It prints a line for each thing that it was
told: `vote ID` when a vote was acknowledged, `safe ID` when all votes up to that one are said to be saved elsewhere.
"""

import sys
import time
from pathlib import Path

from annotations.elsewhere.saver import Saver, connect
from annotations.store import AnnotationStore
from tests.unit.elsewhere_stores import save_vote


def live(data_dir: Path, url: str, window: float, number: int) -> None:
    """Vote until killed."""
    place, _ = connect(url, data_dir, say=lambda text: None)
    store = AnnotationStore(data_dir)
    store.ensure_base_version("embedded", "a" * 64)
    saver = Saver(store, place, window=window).start()
    while True:
        number += 1
        _, vote = save_vote(store, number, "ann", "words")
        print("vote", vote, time.monotonic(), flush=True)
        # Asked in this order: whatever waits then came before, and nothing waiting means that the vote is safe.
        if not saver.status().waiting:
            print("safe", vote, time.monotonic(), flush=True)
        time.sleep(0.02)


if __name__ == "__main__":
    live(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
