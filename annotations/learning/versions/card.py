"""The card of a model version, written by the tool: what it is made of, how it was measured, and what it is not for.

Names no rater and no speaker. Source: the form of cards, https://huggingface.co/docs/hub/model-cards
"""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from annotations.errors import StoreError
from annotations.learning.versions.registry import VersionEntry, list_entries
from annotations.store import AnnotationStore
from annotations.store.records import ModelVersion
from ser.config import EMBEDDED

CARD, RECORD = "README.md", "version.json"

EMBEDDED_LICENCE = "cc-by-nc-sa-4.0"
"""Licence of all that is trained on the embedded weights: that of the recordings they were trained on. Source:
ser/weights/acoustic/README.md"""

PIPELINES = {
    "acoustic": "audio-classification",
    "text": "text-classification",
    "transcriber": "automatic-speech-recognition",
}

LIMITS = (
    "It was trained on the votes of people of one place. Figures are of their speakers; on others it may do "
    "worse, and acted or staged emotion is not what people feel. It is not meant for decisions about a person: "
    "hiring, policing, health, schooling."
)


def write_card(store: AnnotationStore, version: ModelVersion, *, licence: str | None = None) -> Path:
    """Write a version's card, and its record for programs, into its folder.

    Args:
        store: where it is registered.
        version: with a folder of its own.
        licence: as the Hub names licences; by default that of the embedded weights if it was trained on them.

    Returns:
        The card.

    Raises:
        StoreError: if the version has no folder: it came with the program.
    """
    if version.path is None:
        raise StoreError(
            f"Version '{version.name}' came with the program or its settings and has its own card there. "
            "Choose one that was trained or pulled here."
        )
    folder = store.data_dir / version.path
    entries = {entry.version.id: entry for entry in list_entries(store)}
    entry = entries[version.id]
    root = version
    while root.parent_id in entries:
        root = entries[root.parent_id].version
    licence = licence or (EMBEDDED_LICENCE if root.name.startswith(EMBEDDED) else None)
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "name": version.name,
        "target": version.target,
        "sha256": version.sha256,
        "lineage": _without_paths(version.lineage),
        "metrics": dict(version.metrics),
        "decision": entry.decision,
        "reason": entry.reason,
        "override": entry.override,
    }
    (folder / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    card = folder / CARD
    card.write_text(card_text(entry, root.name, licence), encoding="utf-8")
    return card


def card_text(entry: VersionEntry, root: str, licence: str | None) -> str:
    """The card itself, with the Hub's front matter.

    Args:
        entry: the version.
        root: name of the version that training began with.
        licence: as the Hub names licences; None if it is not known.
    """
    version = entry.version
    header: dict[str, object] = {"license": licence or "unknown", "library_name": "transformers"}
    if version.target in PIPELINES:
        header["pipeline_tag"] = PIPELINES[version.target]
    header["tags"] = ["speech-emotion-recognition", "human-feedback", version.target]
    header["metrics"] = ["recall"]
    parts = [
        f"---\n{yaml.safe_dump(header, sort_keys=False, allow_unicode=True)}---",
        f"# {version.name}",
        f"The {version.target} model of Speech Emotion Studio, made on {version.created_at[:10]}"
        f"{f' from {entry.parent}' if entry.parent else ''}. Training began with `{root}`.",
        "## Evaluation",
        entry.reason or "It was never compared with another version here.",
    ]
    if entry.override:
        parts.append(f"It was promoted against that decision. The reason given: {entry.override}")
    parts += [_figures(version.metrics), "## Training data", _origin(entry), "## Limits", LIMITS, "## Licence"]
    parts.append(
        f"`{licence}`."
        if licence
        else "Not known. What the speakers consented to binds those who pass the weights on; name it with --licence."
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _figures(metrics: Mapping[str, object]) -> str:
    before, after = metrics.get("before"), metrics.get("after")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        return ""
    rows = ["| on held-out feedback | before | after |", "|---|---|---|"]
    for name in sorted(before.keys() & after.keys()):
        if isinstance(before[name], int | float) and isinstance(after[name], int | float):
            rows.append(f"| {name} | {before[name]} | {after[name]} |")
    recall = (before.get("recall"), after.get("recall"))
    if isinstance(recall[0], Mapping) and isinstance(recall[1], Mapping):
        support = after.get("support")
        for label in recall[0].keys() & recall[1].keys():
            count = support.get(label) if isinstance(support, Mapping) else None
            rows.append(f"| recall of {label} ({count}) | {recall[0][label]} | {recall[1][label]} |")
        rows[4:] = sorted(rows[4:])
    return "\n".join(rows)


def _origin(entry: VersionEntry) -> str:
    lineage = entry.version.lineage
    origin = lineage.get("origin")
    if isinstance(origin, Mapping):
        return f"Pulled from `{origin.get('repository')}` at commit `{origin.get('commit')}`; see its card there."
    config = json.dumps(_without_paths(lineage).get("config", {}), ensure_ascii=False)
    return "\n".join(
        (
            f"- votes: {entry.votes}",
            f"- SHA-256 of the votes as they stood: `{lineage.get('snapshot_sha256')}`",
            f"- SHA-256 of the weights: `{entry.version.sha256}`",
            f"- commit of the code: `{lineage.get('git_commit')}`; seed: {lineage.get('seed')}; "
            f"preset: {lineage.get('preset')}",
            f"- settings: `{config}`",
            *_labels(lineage.get("labels")),
            *_temperature(lineage.get("temperature")),
            *_strengths(lineage.get("tried")),
            *_ratings(lineage.get("ratings")),
        )
    )


def _labels(found: object) -> list[str]:
    """Name the labels of a head of its own, each with what it means in the seven emotions; empty for the seven."""
    if not isinstance(found, Mapping):
        return []
    named = (f"{name} ({', '.join(means) or 'none of the seven emotions'})" for name, means in found.items())
    return [f"- labels: {', '.join(named)}"]


def _ratings(found: object) -> list[str]:
    """Describe how ratings agree with raters of other speakers; empty if there are none."""
    if not isinstance(found, Mapping):
        return []
    named = ", ".join(f"{name} {agreement:.2f}" for name, agreement in found.items())
    return [f"- ratings, concordance correlation on speakers left out: {named}"]


def _temperature(found: object) -> list[str]:
    """Describe the calibration as a line of the card; empty if it is not known."""
    if not isinstance(found, Mapping):
        return []
    origin = "kept from before; there were too few clips to find another" if found.get("kept") else "fitted out of fold"
    if found.get("kept"):
        return [f"- temperature: {found['before']:.2f}, {origin}"]
    return [f"- temperature: {found['after']:.2f}, before {found['before']:.2f}; {origin}"]


def _strengths(tried: object) -> list[str]:
    """Describe the chosen strength of regularisation as a line of the card; empty if none was chosen."""
    if not isinstance(tried, list) or len(tried) < 2:
        return []
    best = max(tried, key=lambda trial: trial["log_probability"])
    others = ", ".join(f"{trial['penalty']:g} ({trial['log_probability']:.3f})" for trial in tried)
    return [f"- penalty of the classifier head: {best['penalty']:g}, by mean log probability out of fold: {others}"]


def _without_paths(lineage: Mapping[str, object]) -> dict[str, object]:
    """The lineage without where things lie on this machine."""
    config = lineage.get("config")
    kept = dict(lineage)
    if isinstance(config, Mapping):
        kept["config"] = {
            name: value for name, value in config.items() if not (isinstance(value, str) and Path(value).is_absolute())
        }
    return kept
