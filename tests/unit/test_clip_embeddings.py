import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile

from ser.audio.augmentation import SignalAugmentation
from ser.encoder.embedded import POOLED_SIZE
from ser.errors import TrainingCancelledError, TrainingDataError
from ser.testing import synthetic_speech
from ser.training.clip_embeddings import CopyPlan, NoisePool, embed_file
from ser.training.embeddings import EmbeddingPlan, embed_examples
from ser.types import SAMPLING_RATE, Example

# Embeds for longer than anybody waits, and says which worker processes it has.
SCRIPT = """
import sys
from pathlib import Path
import psutil
from ser.audio.augmentation import SignalAugmentation
from ser.training.clip_embeddings import CopyPlan
from ser.training.embeddings import EmbeddingPlan, embed_examples
from ser.types import Example

def report(progress):
    print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)

examples = [Example(Path(sys.argv[1]), "anger", "s")] * 4000
embed_examples(examples, EmbeddingPlan(CopyPlan((SignalAugmentation(),) * 20), workers=2, on_progress=report))
"""


def recording(folder: Path) -> Path:
    path = folder / "a.flac"
    soundfile.write(path, synthetic_speech(0.6).signal, SAMPLING_RATE)
    return path


@pytest.mark.slow
def test_workers_end_with_a_killed_run(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    run = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(recording(tmp_path))],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert run.stdout is not None
    workers = [int(number) for number in run.stdout.readline().split()]
    assert len(workers) >= 2
    run.kill()
    run.wait()
    waited_until = time.monotonic() + 60.0
    while any(psutil.pid_exists(worker) for worker in workers) and time.monotonic() < waited_until:
        time.sleep(0.2)
    assert not [worker for worker in workers if psutil.pid_exists(worker)]


def test_embeddings_are_named_after_what_they_are_made_of(tmp_path: Path) -> None:
    path = recording(tmp_path)
    cache = tmp_path / "cache"
    silent, noisy = NoisePool.of(()), NoisePool.of([synthetic_speech(0.3, seed=1).signal])
    plain, other = SignalAugmentation(), SignalAugmentation(snr=(0.0, 1.0))
    for plan, noises in ((CopyPlan(cache_dir=cache), silent), (CopyPlan(seed=5, cache_dir=cache), noisy)):
        embed_file(path, plan, noises)
    # Untouched recordings are the same, whatever might have been changed in copies.
    assert len(list(cache.rglob("*.npy"))) == 1
    for plan, noises in (
        (CopyPlan((plain,), cache_dir=cache), silent),
        (CopyPlan((plain,), 1, cache_dir=cache), silent),
        (CopyPlan((plain,), cache_dir=cache), noisy),
        (CopyPlan((other,), cache_dir=cache), silent),
    ):
        made = embed_file(path, plan, noises)
        again = embed_file(path, plan, noises)
        assert made.shape == (2, POOLED_SIZE)
        np.testing.assert_array_equal(made, again)
    assert len(list(cache.rglob("*.npy"))) == 5


def test_a_copy_is_the_same_whatever_other_copies_are_asked_for(tmp_path: Path) -> None:
    path, silent = recording(tmp_path), NoisePool.of(())
    first, second = SignalAugmentation(), SignalAugmentation(crop_probability=1.0, crop=(0.2, 0.3))
    both = embed_file(path, CopyPlan((first, second, first)), silent)
    np.testing.assert_array_equal(embed_file(path, CopyPlan((second,)), silent), both[[0, 2]])
    assert not np.array_equal(both[1], both[3]), "what stands there twice is drawn anew"


def test_examples_keep_their_order_and_bad_files_are_named(tmp_path: Path) -> None:
    path = recording(tmp_path)
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no recording")
    examples = [
        Example(path, "calm", "ann", "c", intensity=1.0),
        Example(bad, "anger", "bob", "c"),
        Example(path, {"anger": 0.5, "fear": 0.5}, "eve", "d", weight=0.5),
    ]
    plan = EmbeddingPlan(tolerated=0.5, labels=("anger", "calm", "fear"))
    data = embed_examples(examples, plan)
    assert list(data.speakers) == ["ann", "eve"] and len(data.skipped) == 1 and "bad.wav" in data.skipped[0]
    np.testing.assert_array_equal(data.targets, [[0, 1, 0], [0.5, 0, 0.5]])
    assert data.plain.shape == (2, POOLED_SIZE) and data.weights.tolist() == [1.0, 0.5]
    assert data.take([1]).corpora == ["d"]
    with pytest.raises(TrainingDataError, match=r"cannot be used: 1 of 3\. First: .*bad\.wav"):
        embed_examples(examples, EmbeddingPlan(labels=("anger", "calm", "fear")))
    with pytest.raises(TrainingCancelledError):
        embed_examples(examples, EmbeddingPlan(should_stop=lambda: True))


def test_noises_come_out_of_their_pool_as_they_went_in() -> None:
    noises = [np.arange(3, dtype=np.float32), np.ones(5, dtype=np.float32)]
    pool = NoisePool.of(noises)
    assert len(pool) == 2
    for ours, theirs in zip(pool.recordings(), noises, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert NoisePool.of(()).recordings() == []
    assert pool.key != NoisePool.of(noises[::-1]).key
