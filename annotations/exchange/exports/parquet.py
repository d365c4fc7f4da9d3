"""Clips as one Parquet file that `datasets` and the Hub's viewer read: recordings inside, features described.

Knows the columns; knows neither the store nor other formats.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from annotations.exchange.exports.reading import Exported, without_face
from annotations.exchange.exports.tables import gold_label, purposes_in_force, votes_of
from ser.labels import EMOTIONS
from ser.types import SAMPLING_RATE

GROUP = 100
"""Clips a row group: as the Hub's viewer likes it for audio, and little memory here."""

RECORD = "record"
"""Column with the whole record of a clip as JSON, for an import by this program."""

_TEXT = ("sha256", "speaker", "session", "source", "language", "created_at", "label", "transcript")
_PARENT = {"parent_sha256": pa.string(), "parent_start": pa.float64(), "parent_end": pa.float64()}
_VOTE = {
    "rater": pa.string(),
    "verdict": pa.string(),
    "label": pa.string(),
    "intensity": pa.int64(),
    "valence": pa.int64(),
    "arousal": pa.int64(),
    "transcript": pa.string(),
    "comment": pa.string(),
    "seconds": pa.float64(),
    "answer_shown": pa.int64(),
    "created_at": pa.string(),
    "retracted_at": pa.string(),
}


def write_parquet(clips: Iterable[Exported], target: Path, labels: Sequence[str] = EMOTIONS) -> None:
    """Write clips, some at a time.

    Args:
        clips: what is said of each, and its FLAC file.
        target: the file to make.
        labels: of the store.
    """
    schema = _schema(labels)
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        group: list[dict[str, object]] = []
        for clip in clips:
            group.append(_row(clip))
            if len(group) == GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _row(clip: Exported) -> dict[str, object]:
    record = without_face(clip.record)
    votes: list[Mapping[str, object]] = votes_of(record)
    return {
        "audio": {"bytes": clip.path.read_bytes(), "path": clip.path.name},
        **{name: record[name] for name in (*_TEXT, *_PARENT, "duration", "raters", "soft_label")},
        "gold": gold_label(record),
        "consent": purposes_in_force(record),
        "votes": [{name: vote.get(name) for name in _VOTE} for vote in votes],
        RECORD: json.dumps(record, ensure_ascii=False, separators=(",", ":")),
    }


def _schema(labels: Sequence[str]) -> pa.Schema:
    """The columns, with the description that `datasets` keeps under the key `huggingface`."""
    text, number = pa.string(), pa.float64()
    columns = [pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", text)]))]
    columns += [pa.field(name, text) for name in _TEXT]
    columns += [pa.field(name, kind) for name, kind in _PARENT.items()]
    columns += [
        pa.field("duration", number),
        pa.field("raters", pa.int64()),
        pa.field("soft_label", pa.struct([(label, number) for label in labels])),
        pa.field("gold", text),
        pa.field("consent", pa.list_(text)),
        pa.field("votes", pa.list_(pa.struct(list(_VOTE.items())))),
        pa.field(RECORD, text),
    ]
    schema = pa.schema(columns)
    features = {column.name: _feature(column.type) for column in schema}
    features["audio"] = {"sampling_rate": SAMPLING_RATE, "_type": "Audio"}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def _feature(kind: pa.DataType) -> object:
    """A column's type as `datasets` describes it."""
    if pa.types.is_struct(kind):
        return {part.name: _feature(part.type) for part in kind}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    return {"dtype": str(kind).replace("double", "float64"), "_type": "Value"}
