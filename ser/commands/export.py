"""`python -m ser export`: a model in ONNX or TorchScript form, with the proof that it still answers alike."""

import argparse
import dataclasses
import importlib
import importlib.util
import json
import statistics
import sys
import timeit
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ser.audio.decoding import decode_file
from ser.audio.vad import SileroDetector, trim_to_speech
from ser.config import Settings
from ser.corpora import read_corpus
from ser.errors import AudioError, ExportError, TrainingDataError
from ser.evaluation.report import evaluate
from ser.testing import synthetic_speech
from ser.types import Audio, Example

COMPARED_CLIPS = 64
"""Clips of the data, evenly spaced, that answers are compared on."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Export, compare, measure and print.

    Args:
        options: `format, quantize, out, data, speakers, tolerance, json`.
        settings: the acoustic model.

    Returns:
        0.

    Raises:
        ExportError: if the onnx package is missing, or the exported model answers differently.
        SerError: if the model or the data cannot be used.
    """
    if importlib.util.find_spec("onnx") is None:
        raise ExportError("Exporting needs the package onnx. Run 'pip install onnx'.")
    models = importlib.import_module("ser.export.models")
    examples = _read(options.data, options.speakers)
    clips = _decode(examples[:: max(1, len(examples) // COMPARED_CLIPS)])
    export = models.export_model(
        settings.acoustic_model,
        Path(options.out),
        form=options.format,
        int8=options.quantize == "int8",
        clips=clips,
        tolerance=options.tolerance,
    )
    report = _report(export, examples, options.format)
    print(json.dumps(report, ensure_ascii=False) if options.json else describe(report))
    return 0


def _read(folders: Sequence[str], speakers: Sequence[str] | None) -> list[Example]:
    examples = [example for folder in folders for example in read_corpus(folder).examples]
    chosen = [example for example in examples if not speakers or example.speaker in speakers]
    if folders and not chosen:
        raise TrainingDataError(f"The data hold no clip of {', '.join(speakers or ())}. Name speakers they have.")
    return chosen


def _decode(examples: Sequence[Example]) -> list[Audio]:
    detector = SileroDetector()
    clips = []
    for example in examples:
        try:
            audio = decode_file(example.path)
        except AudioError as error:
            print(f"{example.path}: {error}", file=sys.stderr)
            continue
        clips.append(trim_to_speech(audio, detector.detect(audio)))
    return clips


def _report(export: Any, examples: Sequence[Example], form: str) -> dict[str, Any]:
    models = importlib.import_module("ser.export.models")
    clip = synthetic_speech(3.0)
    latency = {
        name: _median_ms(partial(model.classify, clip))
        for name, model in (("original", export.original), ("exported", export.exported))
    }
    report = {
        "folder": str(export.folder),
        "model": export.original.name,
        "sha256": export.exported.sha256,
        "quantized": export.quantized,
        "parity": dataclasses.asdict(export.parity),
        "format": form,
        "bytes": (export.folder / models.FILES[form]).stat().st_size,
        "latency_3s_ms": latency,
        "speed_up": round(latency["original"] / latency["exported"], 2),
    }
    if examples:
        before, after = (evaluate(model, examples).as_dict() for model in (export.original, export.exported))
        report["uar"] = {"clips": before["n"], "original": before["uar"], "exported": after["uar"]}
        report["uar"]["change"] = after["uar"] - before["uar"]
    return report


def _median_ms(call: Callable[[], object], rounds: int = 10) -> float:
    """Time a call, after one that is not measured."""
    call()
    return round(1000 * statistics.median(timeit.repeat(call, number=1, repeat=rounds)), 3)


def describe(report: Mapping[str, Any]) -> str:
    """The report as lines for a person."""
    parity, latency = report["parity"], report["latency_3s_ms"]
    lines = [
        f"{report['folder']}: {report['model']} in {report['format']} form, {report['quantized'] or 'float32'}, "
        f"{report['bytes'] / 1e6:.2f} MB",
        f"  {parity['clips']} clip{'' if parity['clips'] == 1 else 's'} compared: no probability moved by more than "
        f"{parity['max_difference']:.2g} "
        f"({parity['tolerance']:g} accepted), same emotion in {parity['same_label']:.0%}",
        f"  3 s of speech, features included: {latency['exported']:.1f} ms "
        f"(original {latency['original']:.1f} ms), {report['speed_up']:.2f} times as fast",
    ]
    if "uar" in report:
        uar = report["uar"]
        lines.append(
            f"  UAR on {uar['clips']} clip{'' if uar['clips'] == 1 else 's'}: {uar['exported']:.1%} (original "
            f"{uar['original']:.1%}), "
            f"{100 * uar['change']:+.2f} points"
        )
    return "\n".join(lines)
