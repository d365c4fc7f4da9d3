"""Clips as one Parquet file that `datasets` and the Hub's viewer read: recordings inside, features described.

Knows the columns; knows neither the store nor other formats.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ser.labels import EMOTIONS
from ser.types import SAMPLING_RATE

GROUP = 100
"""Clips a row group: as the Hub's viewer likes it for audio, and little memory here."""

_TEXT = ("sha256", "speaker", "session", "source", "created_at", "label", "transcript")
_VOTE = ("rater", "verdict", "label", "transcript", "created_at", "retracted_at")


def write_parquet(clips: Iterable[tuple[Mapping[str, object], Path]], target: Path) -> None:
    """Write clips, some at a time.

    Args:
        clips: (what is said of a clip, its FLAC file).
        target: the file to make.
    """
    schema = _schema()
    with pq.ParquetWriter(target, schema, compression="zstd") as writer:
        group: list[dict[str, object]] = []
        for record, path in clips:
            row: dict[str, object] = {name: record[name] for name in schema.names if name != "audio"}
            row["audio"] = {"bytes": path.read_bytes(), "path": path.name}
            group.append(row)
            if len(group) == GROUP:
                writer.write_table(pa.Table.from_pylist(group, schema))
                group = []
        if group:
            writer.write_table(pa.Table.from_pylist(group, schema))


def _schema() -> pa.Schema:
    """The columns, with the description that `datasets` keeps under the key `huggingface`."""
    text, number = pa.string(), pa.float64()
    columns = [pa.field("audio", pa.struct([("bytes", pa.binary()), ("path", text)]))]
    columns += [pa.field(name, text) for name in _TEXT]
    columns += [
        pa.field("duration", number),
        pa.field("raters", pa.int64()),
        pa.field("soft_label", pa.struct([(label, number) for label in EMOTIONS])),
        pa.field("consents", pa.list_(pa.struct([(name, text) for name in ("purpose", "given_by", "created_at")]))),
        pa.field("votes", pa.list_(pa.struct([*((name, text) for name in _VOTE), ("intensity", pa.int64())]))),
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
