"""Gain of a retraining on the corrections of one new speaker, on that speaker's other clips.

    python -m benchmarks.retraining --data ../shared/data/nemo --speakers nemo_EB0,nemo_MK0 [--corrections 60] [--json]

Each round fills a store with corrected clips, runs the real retraining with its comparison, and then measures the
current model and the new one on clips that were in no vote; with `--others` also on the reserved speakers of other
corpora, whose recall must not drop. With `--sham` the corrections are drawn at random: none of those rounds should end
in a promotion.
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from annotations.learning.config import PRESETS
from annotations.learning.runs.retrainer import Retrainer, RetrainingConfig
from annotations.learning.versions.active import ActiveModel
from annotations.store import AnnotationStore, NewVote
from annotations.store.queries import list_versions
from benchmarks.machine import run_benchmark
from ser.acoustic.classifier import load_acoustic_model
from ser.audio.decoding import decode_file
from ser.audio.vad import SileroDetector
from ser.corpora import load_corpus
from ser.errors import TrainingDataError
from ser.evaluation.report import evaluate
from ser.protocols import AcousticModel
from ser.recognizer import Recognizer
from ser.training.recipe import RESERVED_SPEAKERS
from ser.types import Example

PACKAGES = ("numpy", "scipy", "onnxruntime")


def play_round(
    examples: Sequence[Example], others: Mapping[str, Sequence[Example]], seed: int, options: argparse.Namespace
) -> dict[str, object]:
    """Correct, retrain, compare.

    Args:
        examples: of one speaker.
        others: clips of other speakers, by corpus.
        seed: draws which clips are corrected, and the sham labels.
        options: `corrections`, `unseen` (at most so many other clips are measured on), `sham`, `preset`.

    Returns:
        `state` and `reason` of the run, its `seconds`, the UAR `before` and `after` on the unseen clips, and `others`:
        by corpus the UAR after.
    """
    draw = random.Random(seed)
    shuffled = draw.sample(list(examples), len(examples))
    corrected, rest = shuffled[: options.corrections], shuffled[options.corrections :][: options.unseen]
    labels = sorted({example.hard_label for example in examples})
    with tempfile.TemporaryDirectory() as folder, AnnotationStore(Path(folder)) as store:
        base = load_acoustic_model("embedded")
        active = ActiveModel(store, Recognizer(SileroDetector(), base, None, None), load_acoustic_model)
        for example in corrected:
            audio = decode_file(example.path)
            clip = store.add_clip(audio, source="benchmark", speaker=example.speaker, consent=("training",))
            label = draw.choice(labels) if options.sham else example.hard_label
            store.add_correction(clip.id, NewVote("benchmark", "correct", label=label))
        retrainer = Retrainer(active, RetrainingConfig(seed=seed, preset=options.preset))
        started = time.monotonic()
        retrainer.start("benchmark")
        end = retrainer.wait(lambda status: None)
        seconds = time.monotonic() - started
        made = next((v for v in list_versions(store) if v.training_run_id is not None), None)
        after = load_acoustic_model(active.location(made)) if made else base
        figures = [_uar(model, rest) for model in (base, after)] if rest else [None, None]
        kept = {name: _uar(after, clips) for name, clips in others.items()}
    return {
        "speaker": examples[0].speaker,
        "state": end.state,
        "reason": end.message,
        "seconds": round(seconds, 1),
        "unseen_clips": len(rest),
        "before": figures[0],
        "after": figures[1],
        "others": kept,
    }


def _of_speakers(folder: Path, speakers: Sequence[str]) -> list[Example]:
    examples = [example for example in load_corpus(folder) if example.speaker in speakers]
    if not examples:
        raise TrainingDataError(f"{folder} has no clip of {', '.join(speakers)}. Name another folder or speaker.")
    return examples


def _uar(model: AcousticModel, examples: Sequence[Example]) -> float:
    return float(evaluate(model, examples).as_dict()["uar"])


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Play rounds for every speaker."""
    if options.quick:
        options.rounds, options.unseen = 1, 30
    others = {folder.name: _of_speakers(folder, RESERVED_SPEAKERS) for folder in options.others}
    base = load_acoustic_model("embedded")
    before = {name: _uar(base, clips) for name, clips in others.items()}
    results = []
    for speaker in tqdm(options.speakers.split(","), unit="speaker", disable=None):
        examples = _of_speakers(options.data, [speaker])
        results += [play_round(examples, others, options.seed + number, options) for number in range(options.rounds)]
    gains = [r["after"] - r["before"] for r in results if r["before"] is not None]  # type: ignore[operator]
    return {
        "benchmark": "retraining",
        "corrections": options.corrections,
        "sham": options.sham,
        "preset": options.preset,
        "others_before": before,
        "rounds": results,
        "promoted_rate": float(np.mean([r["state"] == "promoted" for r in results])),
        "mean_gain": float(np.mean(gains)) if gains else None,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retraining", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a corpus folder")
    parser.add_argument("--speakers", required=True, help="A,B: speakers that the embedded model was not trained on")
    parser.add_argument("--corrections", type=int, default=60)
    parser.add_argument("--unseen", type=int, default=150)
    parser.add_argument("--rounds", type=int, default=3, help="for each speaker")
    parser.add_argument("--preset", choices=PRESETS, default=PRESETS[0])
    parser.add_argument("--others", nargs="+", type=Path, default=[], help="corpora whose reserved speakers are tested")
    parser.add_argument("--sham", action="store_true", help="corrections drawn at random")
    return run_benchmark(parser, measure, PACKAGES, argv=argv, quick="one round for each speaker, 30 unseen clips")


if __name__ == "__main__":
    sys.exit(main())
