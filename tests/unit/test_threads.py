"""Small things are computed on one core, and nothing else is."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from ser.encoder.pretrained import one_core
from ser.training.gradients.engine import torch_threads

THREADS_STARTED = """
import time
import psutil
import torch
from ser.acoustic.classifier import load_acoustic_model
from ser.testing import synthetic_speech
model = load_acoustic_model("embedded")
# Threads that loading began end on their own: wait until their number has not changed for half a second.
before, since = psutil.Process().num_threads(), time.monotonic()
while time.monotonic() - since < 0.5:
    time.sleep(0.02)
    if (now := psutil.Process().num_threads()) != before:
        before, since = now, time.monotonic()
model.classify(synthetic_speech(3.0))
print(psutil.Process().num_threads() - before)
large = torch.ones(2000, 2000)
large @ large
print(psutil.Process().num_threads() - before)
"""


def test_a_thread_that_has_computed_nothing_yet_keeps_the_limit_and_gets_its_own_count_back() -> None:
    counts = []

    def compute() -> None:
        with one_core():
            torch.ones(500, 500) @ torch.ones(500, 500)
            counts.append(torch.get_num_threads())
        counts.append(torch.get_num_threads())

    with torch_threads(3):
        thread = threading.Thread(target=compute)
        thread.start()
        thread.join()
    assert counts == [1, 3]


def test_other_threads_are_left_alone_meanwhile() -> None:
    counts = []
    with torch_threads(3), one_core():
        thread = threading.Thread(target=lambda: counts.append(torch.get_num_threads()))
        thread.start()
        thread.join()
    assert counts == [3]


def test_what_was_raised_comes_through_and_the_count_is_back() -> None:
    with torch_threads(2):
        with pytest.raises(ZeroDivisionError), one_core():
            1 / 0  # noqa: B018
        assert torch.get_num_threads() == 2


def test_an_answer_of_the_sound_starts_no_threads() -> None:
    counts = subprocess.run(
        [sys.executable, "-c", THREADS_STARTED],
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert int(counts[0]) == 0
    assert int(counts[1]) >= 1, "the count of threads would have shown it"
