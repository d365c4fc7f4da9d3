"""Clips as tasks of Label Studio, with annotations and predictions, and the labelling set-up that they belong to.

Source: the task format, https://labelstud.io/guide/task_format and https://labelstud.io/guide/predictions
Knows records and files; knows no store.
"""

import json
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from annotations.exchange.exports.reading import AUDIO, Exported
from annotations.exchange.exports.tables import gold_label, votes_of
from ser.labels import EMOTIONS

CONFIG = "labels.xml"
CHOICE, TEXT, INTENSITY = "emotion", "transcript", "intensity"


def write_labelstudio(clips: Iterable[Exported], table: Path, labels: Sequence[str] = EMOTIONS) -> None:
    """Write a JSON list of tasks, a folder of recordings, and `*_labels.xml` with the labelling interface.

    Recordings are named as Label Studio serves local files: set LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT to the folder
    that holds the export. Votes that were taken back are left out; skips are annotations that were cancelled.
    """
    audio = table.with_name(f"{table.stem}_{AUDIO}")
    audio.mkdir()
    table.with_name(f"{table.stem}_{CONFIG}").write_text(_config(labels), encoding="utf-8")
    with open(table, "w", encoding="utf-8", newline="\n") as out:
        out.write("[")
        for number, clip in enumerate(clips, start=1):
            name = f"{clip.record['sha256']}.flac"
            shutil.copyfile(clip.path, audio / name)
            task = _task(clip.record, number, f"/data/local-files/?d={audio.name}/{name}")
            out.write(("," if number > 1 else "") + "\n" + json.dumps(task, ensure_ascii=False))
        out.write("\n]\n")


def _task(record: Mapping[str, object], number: int, url: str) -> dict[str, object]:
    kept = ("sha256", "duration", "speaker", "source", "language", "transcript", "label", "soft_label")
    lies = ("parent_sha256", "parent_start", "parent_end")
    answers = record["predictions"]
    assert isinstance(answers, list)
    standing = [vote for vote in votes_of(dict(record)) if vote["retracted_at"] is None]
    return {
        "id": number,
        "data": {"audio": url, **{name: record[name] for name in (*kept, *lies)}, "gold": gold_label(dict(record))},
        "annotations": [_annotation(vote, record, place) for place, vote in enumerate(standing)],
        "predictions": [_prediction(answer, record, place) for place, answer in enumerate(answers)],
    }


def _annotation(vote: Mapping[str, object], record: Mapping[str, object], place: int) -> dict[str, object]:
    label = vote["label"] if vote["label"] is not None else ("unsure" if vote["verdict"] == "unsure" else None)
    return {
        "unique_id": _identifier(record, "vote", place),
        # Label Studio knows people by an address; a name in its place is shown as it is.
        "completed_by": {"email": str(vote["rater"])},
        "result": _result(label, vote.get("transcript"), vote.get("intensity"), _identifier(record, "v", place)),
        "was_cancelled": vote["verdict"] == "skip",
        "ground_truth": False,
        "created_at": vote["created_at"],
        "updated_at": vote["created_at"],
        "lead_time": vote.get("seconds"),
    }


def _prediction(answer: Mapping[str, object], record: Mapping[str, object], place: int) -> dict[str, object]:
    version, scores = answer["version"], answer["scores"]
    assert isinstance(version, dict) and isinstance(scores, dict)
    fused = scores.get("fused") or {}
    return {
        "model_version": version["name"],
        "score": fused.get(answer["label"]),
        "created_at": answer["created_at"],
        "result": _result(answer["label"], answer.get("transcript"), None, _identifier(record, "p", place)),
    }


def _result(label: object, transcript: object, intensity: object, identifier: str) -> list[dict[str, object]]:
    result = []
    if label is not None:
        result.append(_region(identifier, CHOICE, "choices", {"choices": [label]}))
    if transcript:
        result.append(_region(identifier, TEXT, "textarea", {"text": [transcript]}))
    if intensity is not None:
        result.append(_region(identifier, INTENSITY, "number", {"number": intensity}))
    return result


def _region(identifier: str, name: str, kind: str, value: dict[str, object]) -> dict[str, object]:
    return {"id": f"{identifier[:8]}-{name}", "from_name": name, "to_name": "audio", "type": kind, "value": value}


def _identifier(record: Mapping[str, object], kind: str, place: int) -> str:
    """Compute an id that is the same for the same vote in every export."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record['sha256']} {kind} {place}"))


def _config(labels: Sequence[str]) -> str:
    """The labelling set-up.

    Source: https://labelstud.io/tags (Audio, Choices, TextArea, Number).
    """
    choices = "\n".join(f'    <Choice value="{label}"/>' for label in (*labels, "unsure"))
    return (
        '<View>\n  <Audio name="audio" value="$audio"/>\n'
        f'  <Choices name="{CHOICE}" toName="audio" choice="single" showInLine="true">\n{choices}\n  </Choices>\n'
        f'  <TextArea name="{TEXT}" toName="audio" value="$transcript" maxSubmissions="1" editable="true"/>\n'
        f'  <Number name="{INTENSITY}" toName="audio" min="0" max="100"/>\n</View>\n'
    )
