"""Whether pruning the embedded network wins: size, latency and recall at several shares, without fine-tuning.

python -m benchmarks.pruning --data ../shared/data/ravdess [--speakers A,B] [--clips 240] [--quick] [--json]

`magnitude` zeroes the smallest weights wherever they are; dense kernels gain nothing from it, so that only the size of
a compressed file can shrink. `channels` takes whole inner channels out of the residual blocks, which truly makes the
network smaller and quicker. Measures through the exported ONNX form, which is what answers.
"""

import argparse
import copy
import gzip
import json
import random
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

from benchmarks.machine import describe_run
from ser.acoustic.classifier import NetworkModel, load_network, model_folder
from ser.acoustic.onnx import MODEL_FILE, OnnxNetwork
from ser.audio import decode_file
from ser.checkpoints import load_meta
from ser.config import EMBEDDED
from ser.corpora import load_corpus
from ser.export.conversion import convert
from ser.export.parity import measure_interleaved
from ser.labels import EMOTIONS
from ser.metrics import confusion, uar_of
from ser.testing import synthetic_speech
from ser.types import Audio
from ser.vad import SileroDetector, trim_to_speech

PACKAGES = ("torch", "onnxruntime", "numpy")
SHARES = (0.2, 0.4, 0.6)


def prune_by_magnitude(network: nn.Module, share: float) -> None:
    """Zero this share of the weights of all convolutions and matrix products, the smallest of the whole network."""
    layers = [m for m in network.modules() if isinstance(m, nn.Conv1d | nn.Conv2d | nn.Linear)]
    prune.global_unstructured([(m, "weight") for m in layers], prune.L1Unstructured, amount=share)
    for layer in layers:
        prune.remove(layer, "weight")


def prune_channels(network: nn.Module, share: float) -> int:
    """Take the weakest inner channels out of every residual block.

    A channel counts by the sum of the magnitudes of what it hears times the gain of its normalisation.
    Source: Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming",
    https://arxiv.org/abs/1708.06519 (gains as importance), and Li et al. 2017, https://arxiv.org/abs/1608.08710 (L1).

    Args:
        network: changed in place. Blocks are modules with `wide`, `norm` and `narrow`.
        share: of the channels, 0..1.

    Returns:
        How many blocks were cut.
    """
    blocks: list[Any] = [m for m in network.modules() if all(hasattr(m, part) for part in ("wide", "norm", "narrow"))]
    for block in blocks:
        wide, norm, narrow = block.wide, block.norm, block.narrow
        importance = wide.weight.detach().abs().sum((1, 2)) * norm.weight.detach().abs()
        kept = importance.topk(max(1, round((1 - share) * len(importance)))).indices.sort().values
        wide.weight = nn.Parameter(wide.weight.detach()[kept])
        narrow.weight = nn.Parameter(narrow.weight.detach()[:, kept])
        wide.out_channels = narrow.in_channels = norm.num_features = len(kept)
        norm.weight, norm.bias = nn.Parameter(norm.weight.detach()[kept]), nn.Parameter(norm.bias.detach()[kept])
        norm.running_mean, norm.running_var = norm.running_mean[kept], norm.running_var[kept]
    return len(blocks)


WAYS: dict[str, Callable[[nn.Module, float], object]] = {"magnitude": prune_by_magnitude, "channels": prune_channels}


def measure(name: str, clips: Sequence[Audio], truth: Sequence[str], rounds: int) -> list[dict[str, object]]:
    """Prune in each way and share.

    Args:
        name: of the model.
        clips: cut to their speech.
        truth: the label of each.
        rounds: measured calls of each variant.

    Returns:
        For the whole network and each variant: parameters that are not zero, bytes of the graph, plain and gzipped,
        median ms for 3 s of speech on one thread, and UAR.
    """
    folder = model_folder(name)
    meta, rows = load_meta(folder), []
    models: dict[str, NetworkModel] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for way, share in [("whole", 0.0), *((way, share) for way in WAYS for share in SHARES)]:
            network = copy.deepcopy(load_network(folder))
            if way != "whole" and WAYS[way](network, share) == 0:
                print("This network has no blocks whose channels could be taken out.", file=sys.stderr)
                continue
            key = way if way == "whole" else f"{way} {share:.0%}"
            path = Path(scratch) / key / MODEL_FILE
            path.parent.mkdir()
            given = NetworkModel(network, meta).network_inputs([clip.signal for clip in clips[:2]])
            tensors = {argument: torch.from_numpy(values) for argument, values in given.items()}
            convert(network, tensors, dict.fromkeys(tensors, [1]), path, source_sha256=meta.sha256)
            models[key] = NetworkModel(OnnxNetwork(path), meta)
            answers = [scores.label for scores in models[key].classify_batch(clips)]
            content = path.read_bytes()
            rows.append(
                {
                    "variant": key,
                    "weights": sum(int(np.count_nonzero(p.detach().numpy())) for p in network.parameters()),
                    "bytes": len(content),
                    "gzipped_bytes": len(gzip.compress(content, 6)),
                    "uar": round(uar_of(confusion(truth, answers, EMOTIONS)), 4),
                }
            )
        clip = synthetic_speech(3.0)
        latency = measure_interleaved(
            {key: lambda model=model: model.classify(clip) for key, model in models.items()},  # type: ignore[misc]
            rounds,
        )
    return [row | {"median_ms": latency[str(row["variant"])]["median_ms"]} for row in rows]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pruning", description=__doc__)
    parser.add_argument("--model", default=EMBEDDED, help="embedded (default), or a folder of a model of our own")
    parser.add_argument("--data", type=Path, required=True, help="a corpus folder")
    parser.add_argument("--speakers", default="", help="only these, A,B: such as training never heard")
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--quick", action="store_true", help="60 clips, 5 rounds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="one JSON object on one line")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    wanted = {name for name in options.speakers.split(",") if name}
    examples = [example for example in load_corpus(options.data) if not wanted or example.speaker in wanted]
    count = min(60 if options.quick else options.clips, len(examples))
    sample = random.Random(options.seed).sample(examples, count)
    detector = SileroDetector()
    decoded = [decode_file(example.path) for example in sample]
    clips = [trim_to_speech(a, r) for a, r in zip(decoded, detector.detect_batch(decoded), strict=True)]
    rows = measure(options.model, clips, [example.hard_label for example in sample], 5 if options.quick else 50)
    result = {"clips": count, "variants": rows} | describe_run(options.seed, PACKAGES)
    print(json.dumps(result, indent=None if options.json else 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
