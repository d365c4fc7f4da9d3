"""Label sets as TOML: read with clear refusals, and written so that they can be read back."""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path

from annotations.errors import InvalidSettingError
from annotations.labels.colours import EMOTION_COLOURS, free_pair
from annotations.labels.label_set import KEYS, Label, LabelSet, check_name
from ser.labels import EMOTIONS

FIELDS = ("name", "key", "light", "dark", "means", "names")


def read_label_file(path: Path) -> LabelSet:
    """Read a label set; keys and colours that are left out are chosen.

    Raises:
        InvalidSettingError: if it cannot be read, or something in it cannot be.
    """
    try:
        return parse_labels(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSettingError(
            f"{path} cannot be read as TOML: {error}. See docs/labels.md for an example."
        ) from error


def parse_labels(given: Mapping[str, object]) -> LabelSet:
    """Make a label set of plain values, such as TOML or JSON gives them.

    Raises:
        InvalidSettingError: if something in it cannot be.
    """
    rows, mapping = given.get("labels"), given.get("mapping", {})
    unknown = sorted(set(given) - {"labels", "mapping"})
    if unknown or not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        found = f"'{unknown[0]}'" if unknown else "no list of tables named 'labels'"
        raise InvalidSettingError(f"A label file has {found}; expected [[labels]], each with a name, and [mapping].")
    if not isinstance(mapping, Mapping) or not all(isinstance(new, str) for new in mapping.values()):
        raise InvalidSettingError('[mapping] is no table of names; expected lines such as old = "new".')
    keys = {str(row["key"]).lower() for row in rows if "key" in row}
    pairs = {_pair(row) for row in rows if "light" in row or "dark" in row}
    labels = []
    for row in rows:
        label = _label(row, keys, pairs)
        keys.add(label.key)
        pairs.add((label.light, label.dark))
        labels.append(label)
    return LabelSet(tuple(labels), {check_name(old): check_name(new) for old, new in mapping.items()})


def _label(row: Mapping[str, object], keys: set[str], pairs: set[tuple[str, str]]) -> Label:
    name, unknown = check_name(row.get("name")), sorted(set(row) - set(FIELDS))
    if unknown:
        raise InvalidSettingError(
            f"The label '{name}' has a field '{unknown[0]}'; expected some of {', '.join(FIELDS)}."
        )
    names = row.get("names", {})
    if not isinstance(names, Mapping) or not all(isinstance(text, str) and text.strip() for text in names.values()):
        raise InvalidSettingError(f"The names of '{name}' are {names!r}; expected one for each language.")
    own = EMOTION_COLOURS.get(name)
    light, dark = (
        _pair(row) if "light" in row or "dark" in row else own if own and own not in pairs else free_pair(pairs)
    )
    key = row["key"] if "key" in row else next((key for key in KEYS if key not in keys), "")
    return Label(name, str(key), light, dark, _means(name, row.get("means")), dict(names))


def _pair(row: Mapping[str, object]) -> tuple[str, str]:
    light, dark = row.get("light"), row.get("dark")
    return str(light or dark), str(dark or light)


def _means(name: str, given: object) -> tuple[str, ...]:
    if given is None:
        return (name,) if name in EMOTIONS else ()
    means = [given] if isinstance(given, str) else given
    if not isinstance(means, list | tuple) or not all(emotion in EMOTIONS for emotion in means):
        raise InvalidSettingError(
            f"'{name}' means {given!r}; expected some of {', '.join(EMOTIONS)}, or nothing where it is none of them."
        )
    return tuple(means)


def to_plain(labels: LabelSet) -> dict[str, object]:
    """A label set as plain values, the inverse of `parse_labels`."""
    rows = [
        {"name": own.name, "key": own.key, "light": own.light, "dark": own.dark, "means": list(own.means)}
        | ({"names": dict(own.names)} if own.names else {})
        for own in labels
    ]
    return {"labels": rows, "mapping": dict(labels.mapping)}


def to_toml(labels: LabelSet) -> str:
    r"""A label set as a file for `read_label_file`.

    >>> from annotations.labels.label_set import DEFAULT
    >>> print(to_toml(DEFAULT).split("\n\n")[0])
    [[labels]]
    name = "anger"
    key = "1"
    light = "#d55e00"
    dark = "#e8701a"
    means = ["anger"]
    """
    parts = []
    for own in labels:
        lines = ["[[labels]]", *(f"{name} = {_text(getattr(own, name))}" for name in FIELDS[:4])]
        lines.append(f"means = [{', '.join(map(_text, own.means))}]")
        if own.names:
            lines.append(f"names = {{ {', '.join(f'{_text(k)} = {_text(v)}' for k, v in own.names.items())} }}")
        parts.append("\n".join(lines))
    if labels.mapping:
        parts.append("\n".join(["[mapping]", *(f"{_text(o)} = {_text(n)}" for o, n in labels.mapping.items())]))
    return "\n\n".join(parts) + "\n"


def _text(value: str) -> str:
    # A JSON string is a basic string of TOML.
    return json.dumps(value, ensure_ascii=False)
