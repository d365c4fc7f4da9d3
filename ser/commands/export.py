"""`python -m ser export`: a model in ONNX form, with the proof that it still answers alike."""

import argparse
import dataclasses
import importlib
import importlib.util
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ser.audio import decode_file
from ser.config import Settings
from ser.corpora import read_corpus
from ser.errors import AudioError, ExportError, SettingsError, TrainingDataError
from ser.evaluation import evaluate
from ser.testing import synthetic_speech
from ser.types import Audio, Example
from ser.vad import SileroDetector, trim_to_speech

HEARD_CLIPS = 64
"""Of the data, evenly spaced, that calibrate and compare."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Export, compare, measure and print.

    Args:
        options: `format, quantize, out, beside, data, speakers, tolerance, json`.
        settings: the acoustic model.

    Returns:
        0.

    Raises:
        ExportError: where the onnx package is missing, or the exported model answers differently.
        SettingsError: where neither or both of `out` and `beside` are given.
        SerError: where the model or the data cannot be used.
    """
    if bool(options.out) == options.beside:
        raise SettingsError("Name either a new folder (--out DIR), or --beside for one of our own models.")
    if options.beside and options.quantize:
        raise SettingsError("The form beside the weights is exact; quantise with --out DIR.")
    if importlib.util.find_spec("onnx") is None:
        raise ExportError("Exporting needs the package onnx. Run 'pip install onnx'.")
    models = importlib.import_module("ser.export.models")
    examples = _read(options.data, options.speakers)
    clips = _hear(examples[:: max(1, len(examples) // HEARD_CLIPS)])
    if options.beside:
        export = models.write_beside(settings.acoustic_model, clips)
    else:
        export = models.export_model(
            settings.acoustic_model,
            Path(options.out),
            int8=options.quantize == "int8",
            clips=clips,
            tolerance=options.tolerance,
        )
    report = _report(export, examples)
    print(json.dumps(report, ensure_ascii=False) if options.json else describe(report))
    return 0


def _read(folders: Sequence[str], speakers: Sequence[str] | None) -> list[Example]:
    examples = [example for folder in folders for example in read_corpus(folder).examples]
    chosen = [example for example in examples if not speakers or example.speaker in speakers]
    if folders and not chosen:
        raise TrainingDataError(f"The data hold no clip of {', '.join(speakers or ())}. Name speakers they have.")
    return chosen


def _hear(examples: Sequence[Example]) -> list[Audio]:
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


def _report(export: Any, examples: Sequence[Example]) -> dict[str, Any]:
    parity = importlib.import_module("ser.export.parity")
    clip = synthetic_speech(3.0)
    threads = torch.get_num_threads()
    # onnxruntime answers on one thread for small networks, so torch gets one, too.
    torch.set_num_threads(1)
    latency = parity.measure_interleaved(
        {"torch": lambda: export.original.classify(clip), "onnx": lambda: export.exported.classify(clip)}
    )
    torch.set_num_threads(threads)
    report = {
        "folder": str(export.folder),
        "model": export.original.name,
        "sha256": export.exported.sha256,
        "quantized": export.quantized,
        "parity": dataclasses.asdict(export.parity),
        "model_onnx_bytes": (export.folder / "model.onnx").stat().st_size,
        "latency_3s": latency,
        "speed_up": round(latency["torch"]["median_ms"] / latency["onnx"]["median_ms"], 2),
    }
    if examples:
        before, after = (evaluate(model, examples).as_dict() for model in (export.original, export.exported))
        report["uar"] = {"clips": before["n"], "torch": before["uar"], "onnx": after["uar"]}
        report["uar"]["change"] = after["uar"] - before["uar"]
    return report


def describe(report: Mapping[str, Any]) -> str:
    """The report as lines that a person likes to read."""
    parity, latency = report["parity"], report["latency_3s"]
    lines = [
        f"{report['folder']}: {report['model']} in ONNX form, {report['quantized'] or 'float32'}, "
        f"{report['model_onnx_bytes'] / 1e6:.2f} MB",
        f"  {parity['clips']} clips compared: no probability moved by more than {parity['max_difference']:.2g} "
        f"({parity['tolerance']:g} accepted), same emotion in {parity['same_label']:.0%}",
        f"  3 s of speech, features included, one thread: {latency['onnx']['median_ms']:.1f} ms "
        f"(torch {latency['torch']['median_ms']:.1f} ms), {report['speed_up']:.2f} times as fast",
    ]
    if "uar" in report:
        uar = report["uar"]
        lines.append(
            f"  UAR on {uar['clips']} clips: {uar['onnx']:.1%} (torch {uar['torch']:.1%}), "
            f"{100 * uar['change']:+.2f} points"
        )
    return "\n".join(lines)
