"""How quick training is: `python -m benchmarks.training_speed [--quick] [--json]`.

Draws batches and makes steps of the embedded network on features of random clips, on one thread, and counts CPU
seconds, which a busy machine does not stretch. No corpus is needed: the time does not depend on what is said.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.machine import describe_run
from ser.acoustic.features import FEATURE_SIZE
from ser.acoustic.network import AcousticConfig, AcousticModelForAudioClassification
from ser.config import TrainConfig
from ser.labels import EMOTIONS
from ser.training.dataset import BatchDrawer, FeatureSet
from ser.training.loop import fit
from ser.training.progress import TrainProgress

FRAMES = (110, 280)
"""Shortest and longest clip: 1.4 to 3.5 s, as most of acted speech is."""


def measure(clips: int, epochs: int, seed: int) -> dict[str, object]:
    """Clips per CPU second of the data path alone and of whole steps, in half precision where there is, and without."""
    data = random_features(clips, seed)
    config = TrainConfig(epochs=1, threads=1, epoch_size=clips, seed=seed)
    drawer = BatchDrawer(data, config)
    started = time.process_time()
    drawn = sum(len(batch.targets) for epoch in range(epochs) for batch in drawer.epoch(epoch))
    seconds = time.process_time() - started
    return {
        "clips_per_cpu_second": {
            "data path": round(drawn / seconds, 1),
            "whole steps": round(_steps(data, config, epochs, autocast=True), 1),
            "whole steps in float32": round(_steps(data, config, epochs, autocast=False), 1),
        },
        "clips": clips,
        "batch_size": config.batch_size,
        **describe_run(seed, ("torch", "numpy")),
    }


def random_features(clips: int, seed: int) -> FeatureSet:
    """Clips with three changed copies each, of twenty speakers."""
    generator = np.random.default_rng(seed)
    lengths = generator.integers(*FRAMES, clips)
    variants = [
        [generator.uniform(-5.0, 1.0, (length, FEATURE_SIZE)).astype(np.float16) for _ in range(4)]
        for length in lengths
    ]
    targets = np.eye(len(EMOTIONS), dtype=np.float32)[generator.integers(0, len(EMOTIONS), clips)]
    speakers = [f"speaker {number % 20}" for number in range(clips)]
    return FeatureSet(variants, targets, np.ones(clips, np.float32), speakers, ["random"] * clips)


def _steps(data: FeatureSet, config: TrainConfig, epochs: int, autocast: bool) -> float:
    """Clips per CPU second, by the median of the steps after the first epoch, in which kernels are made."""
    torch.manual_seed(config.seed)
    network = AcousticModelForAudioClassification(AcousticConfig(num_labels=len(EMOTIONS)))
    marks: list[float] = []

    def mark(progress: TrainProgress) -> None:
        if not progress.epoch_done:
            marks.append(time.process_time())

    how = TrainConfig(epochs=epochs + 1, threads=1, epoch_size=len(data), seed=config.seed, autocast=autocast)
    fit(network, data, how, on_progress=mark)
    first = len(marks) // (epochs + 1)
    return config.batch_size / float(np.median(np.diff(marks[first:])))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few clips: whether it runs, not how quick it is")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    result = measure(128 if options.quick else 640, 1 if options.quick else 2, options.seed)
    if options.json:
        print(json.dumps(result))
    else:
        print(json.dumps(result, indent=2), file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
