import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import soundfile

from ser.augmentation import SignalAugmentation
from ser.testing import synthetic_speech
from ser.types import SAMPLING_RATE
from ser.variants import NoisePool, VariantRecipe, make_variants

# Prepares for longer than anybody waits, and says which worker processes it has.
SCRIPT = """
import sys
from pathlib import Path
import psutil
from ser.training.preparation import Preparation, prepare
from ser.types import Example

def tell(progress):
    print(*[child.pid for child in psutil.Process().children(recursive=True)], flush=True)

examples = [Example(Path(sys.argv[1]), "anger", "s")] * 4000
prepare(examples, Preparation(variants=20, workers=2, on_progress=tell))
"""


def recording(folder: Path) -> Path:
    path = folder / "a.flac"
    soundfile.write(path, synthetic_speech(0.6).signal, SAMPLING_RATE)
    return path


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


def test_features_are_named_after_what_they_are_made_of(tmp_path: Path) -> None:
    path = recording(tmp_path)
    cache = tmp_path / "cache"
    silent, noisy = NoisePool.of(()), NoisePool.of([synthetic_speech(0.3, seed=1).signal])
    plain = VariantRecipe(0, 0, SignalAugmentation(), cache)
    for recipe, noises in ((plain, silent), (VariantRecipe(0, 5, SignalAugmentation(snr=(0.0, 1.0)), cache), noisy)):
        make_variants(path, recipe, noises)
    # Untouched recordings are the same, whatever might have been changed in copies.
    assert len(list(cache.rglob("*.npz"))) == 1
    for recipe, noises in (
        (VariantRecipe(1, 0, SignalAugmentation(), cache), silent),
        (VariantRecipe(1, 1, SignalAugmentation(), cache), silent),
        (VariantRecipe(1, 0, SignalAugmentation(), cache), noisy),
        (VariantRecipe(1, 0, SignalAugmentation(snr=(0.0, 1.0)), cache), silent),
    ):
        made = make_variants(path, recipe, noises)
        again = make_variants(path, recipe, noises)
        assert len(made) == 2 and all(np.array_equal(a, b) for a, b in zip(made, again, strict=True))
    assert len(list(cache.rglob("*.npz"))) == 5


def test_noises_come_out_of_their_pool_as_they_went_in() -> None:
    noises = [np.arange(3, dtype=np.float32), np.ones(5, dtype=np.float32)]
    pool = NoisePool.of(noises)
    assert len(pool) == 2
    for ours, theirs in zip(pool.recordings(), noises, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert NoisePool.of(()).recordings() == []
    assert pool.key != NoisePool.of(noises[::-1]).key
