"""`python -m ser evaluate`: a model's figures on labelled recordings, or on labelled sentences."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ser.acoustic.classifier import load_acoustic_model
from ser.acoustic.model import require_seven
from ser.checkpoints.hub import pick_device
from ser.config import EMBEDDED, Settings
from ser.corpora import read_corpus
from ser.corpora.splits import require_speakers
from ser.errors import SettingsError
from ser.evaluation.groups import check_traits, describe_groups, figures_by
from ser.evaluation.predictions import Adaptation
from ser.evaluation.report import evaluate
from ser.text.classifier import evaluate_text, load_text_model
from ser.training.recipe import RESERVED_SPEAKERS

RESERVED = "reserved"
"""In place of names: the speakers that the recipe of the shipped weights tests on and never trains on."""


def run(options: argparse.Namespace, settings: Settings) -> int:
    """Measure and print.

    Args:
        options: `data` or `text`; `model, speakers, labels, by, adapt, adapt_domain, seed, json`.
        settings: device, and the acoustic model where `model` is not given.

    Returns:
        0.

    Raises:
        SettingsError: if neither or both of `data` and `text` are given.
        SerError: if the model or the data cannot be used.
    """
    if bool(options.data) == bool(options.text):
        raise SettingsError("Name either recordings (--data DIR) or sentences (--text FILE.csv).")
    figures = _text_figures(options, settings) if options.text else _acoustic_figures(options, settings)
    print(json.dumps(figures, ensure_ascii=False) if options.json else describe(figures))
    return 0


def _text_figures(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    model = load_text_model(options.model or EMBEDDED, pick_device(settings.device))
    if model is None:
        raise SettingsError("There is nothing to evaluate: the text model is 'none'. Name one with --model.")
    return evaluate_text(model, Path(options.text))


def _acoustic_figures(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    check_traits(options.by)
    corpora = [read_corpus(folder) for folder in options.data]
    for note in (note for corpus in corpora for note in corpus.notes):
        print(note, file=sys.stderr)
    examples = [example for corpus in corpora for example in corpus.examples]
    if options.speakers:
        asked = set(options.speakers)
        if asked == {RESERVED}:
            asked = set(RESERVED_SPEAKERS) & {example.speaker for example in examples} or asked
        require_speakers(examples, asked)
        examples = [example for example in examples if example.speaker in asked]
    unknown: Counter[str] = Counter()
    for corpus in corpora:
        unknown.update(corpus.unknown_labels)
    model = load_acoustic_model(settings.acoustic_model, pick_device(settings.device))
    require_seven(model)
    with tqdm(total=len(examples), unit="clip", disable=None) as progress:
        evaluation = evaluate(
            model,
            examples,
            labels=options.labels,
            on_progress=lambda done, total: _move(progress, done, total),
            adaptation=Adaptation(options.adapt, options.adapt_domain, options.seed),
        )
    missing = [f"{corpus.name}/{name}" for corpus in corpora for name in corpus.missing_files]
    by_group = [figures_by(evaluation, trait) for trait in options.by]
    return {**evaluation.as_dict(), "by": by_group, "unknown_labels": dict(unknown), "missing_files": missing}


def _move(progress: Any, done: int, total: int) -> None:
    progress.total = total
    progress.update(done - progress.n)


def describe(figures: Mapping[str, Any]) -> str:
    """The figures as lines for a person."""
    low, high = figures["uar_ci"]
    adapted = ", adapted to the corpus" if figures.get("adapted_to_domain") else ""
    adapted += (
        f", adapted to the speaker by {figures['adapted_by']} clip{'' if figures['adapted_by'] == 1 else 's'}"
        if figures.get("adapted_by")
        else ""
    )
    lines = [
        f"{figures['model']}: {figures['n']} example{'' if figures['n'] == 1 else 's'}{adapted}",
        f"  UAR {figures['uar']:.1%} [{low:.1%}, {high:.1%}]   WAR {figures['war']:.1%}   "
        f"macro-F1 {figures['macro_f1']:.3f}   ECE {figures['ece']:.3f} (by chance {figures['ece_by_chance']:.3f})",
        "",
        f"  {'':<10} precision  recall      F1  support",
    ]
    for label, scores in figures["per_class"].items():
        lines.append(
            f"  {label:<10} {scores['precision']:>9.1%} {scores['recall']:>7.1%} {scores['f1']:>7.3f} "
            f"{scores['support']:>8}"
        )
    labels, matrix = figures["confusion"]["labels"], figures["confusion"]["matrix"]
    if figures.get("intensity_auc") is not None:
        lines.append(f"  intensity, strong against normal: AUC {figures['intensity_auc']:.3f}")
    lines += ["", "  truth \\ answer  " + " ".join(f"{label[:7]:>7}" for label in labels)]
    lines += [f"  {label:<15} " + " ".join(f"{n:>7}" for n in row) for label, row in zip(labels, matrix, strict=True)]
    lines.append("")
    for corpus, scores in figures.get("per_corpus", {}).items():
        low, high = scores["uar_ci"]
        recalls = ", ".join(f"{label} {recall:.0%}" for label, recall in scores["recalls"].items())
        lines.append(
            f"  {corpus}: {scores['n']} example{'' if scores['n'] == 1 else 's'}, UAR {scores['uar']:.1%} [{low:.1%}, "
            f"{high:.1%}], "
            f"ECE {scores['ece']:.3f} (by chance {scores['ece_by_chance']:.3f}); {recalls}"
        )
    if "shares" in figures:
        shares = ", ".join(f"{label} {truth:.0%}/{found:.0%}" for label, (truth, found) in figures["shares"].items())
        lines.append(f"  weighted F1 {figures['weighted_f1']:.3f}; share of each label in truth/answers: {shares}")
    if len(figures.get("per_corpus", {})) > 1:
        lines.append(f"  mean of the corpora: UAR {figures['mean_uar']:.1%}")
    for by_group in figures.get("by", []):
        lines += describe_groups(by_group)
    for key in ("left_out", "multi_label", "no_speech", "undecided"):
        if figures.get(key):
            lines.append(f"  {key.replace('_', ' ')}: {figures[key]}")
    for key in ("unknown_labels", "unreadable"):
        for name, value in figures.get(key, {}).items():
            lines.append(f"  {key.replace('_', ' ')}: {name}: {value}")
    for name in figures.get("missing_files", []):
        lines.append(f"  missing: {name}")
    return "\n".join(lines)
