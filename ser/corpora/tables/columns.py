"""Names of columns in tables of recordings, and the reading of one line of such a table. Opens no file."""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ser.corpora.corpus import Broken, Row
from ser.errors import TrainingDataError
from ser.labels import to_emotion

_SYNONYMS = {
    "file": "file_name filename file path filepath file_path audio audio_path audio_file audiofile wav "
    "wav_path wav_file recording fname file_id fileid clip clip_name clip_id clipname utterance_id utt_id name id",
    "sha256": "sha256",
    "label": "label emotion emotions labels major_emotion emoclass class emotion_label emo category feeling "
    "mood target",
    "speaker": "speaker speaker_id speakerid spk spk_id spkr spkrid spkr_id actor actor_id client_id "
    "talker participant",
    "session": "session session_id dialogue dialogue_id dialog conversation conversation_id call_id",
    "transcript": "transcript transcription raw_text text sentence normalized_text words spoken utterance",
    "language": "language lang locale",
    "gender": "gender sex",
    "age": "age speaker_age",
    "intensity": "intensity emotion_intensity strength",
    "weight": "weight",
    "split": "split partition subset",
    "rater": "rater rater_id annotator annotator_id worker worker_id workerid coder labeler labeller evaluator "
    "listener completed_by user user_id username",
    "created_at": "created_at timestamp annotated_at voted_at submitted_at updated_at",
    "distribution": "distribution soft_label label_distribution",
    "verdict": "verdict",
    "valence": "valence",
    "arousal": "arousal activation",
    "comment": "comment comments note notes remark",
    "seconds": "seconds lead_time",
    "answer_shown": "answer_shown",
    "retracted_at": "retracted_at",
    "original_label": "original_label",
    "consent": "consent",
    "gold": "gold gold_label",
    "start": "start start_time onset",
    "end": "end end_time offset",
}
COLUMNS: Mapping[str, tuple[str, ...]] = {name: tuple(text.split()) for name, text in _SYNONYMS.items()}
"""{column: its names in use}; of several the first counts. Source: public sets and annotation tools."""

SILENT = frozenset("duration raters sha256 source index unnamed_0 annotation_id".split())
"""Columns that nobody misses: what follows from the recording or from its votes."""

_WIDE = re.compile(r"(?:rater|annotator|coder|listener|worker|evaluator|label|emotion|vote)_?(?:\d+|[a-z])")
_SHARE = re.compile(r"(?:share|prob|probability|p|votes|n|count)_(?P<label>.+)")
INTENSITIES: Mapping[str, float] = {"normal": 0.0, "strong": 1.0}
"""RAVDESS's two levels. Source: Livingstone & Russo 2018, https://doi.org/10.1371/journal.pone.0196391"""

Cells = Mapping[str, object]


class MissingColumnError(TrainingDataError):
    """A table has no column of the name that a person gave for one of `COLUMNS`."""

    def __init__(self, message: str, column: str) -> None:
        super().__init__(message)
        self.column = column


class NoRecordingColumnError(TrainingDataError):
    """None of a table's headers is known to name recordings."""

    def __init__(self, message: str, headers: Sequence[str]) -> None:
        super().__init__(message)
        self.headers = tuple(headers)


def plain_name(header: object) -> str:
    """The name of a column without what differs from table to table.

    >>> plain_name(" File-Name "), plain_name("Speaker ID")
    ('file_name', 'speaker_id')
    """
    text = unicodedata.normalize("NFKC", str(header)).strip().strip("\ufeff\"'").casefold()
    return re.sub(r"[\s.:-]+", "_", text).strip("_")


def find_columns(headers: Iterable[str]) -> dict[str, str]:
    """The header of each of `COLUMNS` that a table has.

    >>> find_columns(["Path", " emotion", "shoe size"])
    {'file': 'Path', 'label': ' emotion'}
    """
    plain: dict[str, str] = {}
    for header in headers:
        plain.setdefault(plain_name(header), header)
    found = {name: next((plain[other] for other in names if other in plain), None) for name, names in COLUMNS.items()}
    return {name: header for name, header in found.items() if header is not None}


@dataclass(frozen=True)
class Columns:
    """Meaning of a table's headers.

    Attributes:
        named: {one of `COLUMNS`: its header}.
        shares: {header: label} of columns that hold a label's share or number of votes.
        wide: headers of columns that hold one rater's labels each.
        unread: headers that mean nothing here.
        scales: {header: greatest value} of ratings.
        known: tells if a text names a label.
        parts: recordings of which some row means a part.
    """

    named: Mapping[str, str]
    shares: Mapping[str, str]
    wide: tuple[str, ...]
    unread: tuple[str, ...]
    scales: Mapping[str, float]
    known: Callable[[str], object] = to_emotion
    parts: frozenset[str] = frozenset()

    @classmethod
    def of(cls, rows: Sequence[Cells], known: Callable[[str], object] = to_emotion, **chosen: str) -> "Columns":
        """Tell the columns of a table.

        Args:
            rows: all of its lines, by header.
            known: tells if a text names a label.
            chosen: {one of `COLUMNS`: header} that a person named; an empty one is for a column that there is not.

        Raises:
            MissingColumnError: if there is no such header.
        """
        headers = list(dict.fromkeys(header for row in rows for header in row if header.strip()))
        plain = {plain_name(header): header for header in headers}
        named = find_columns(headers)
        for name, header in chosen.items():
            if not header:
                named.pop(name, None)
                continue
            if plain_name(header) not in plain:
                listed = ", ".join(header.strip() for header in headers)
                message = f"There are the columns {listed}; none is '{header}', named for the {name}."
                raise MissingColumnError(message, name)
            named[name] = plain[plain_name(header)]
        free = [header for header in headers if header not in named.values()]
        prefixed = {header: match["label"] for header in free if (match := _SHARE.fullmatch(plain_name(header)))}
        bare = {header: header.strip() for header in free if known(header)}
        shares = {
            header: label for header, label in (prefixed or bare).items() if _numeric(row.get(header) for row in rows)
        }
        if len(shares) < 2 or not any(map(known, shares.values())):
            shares = {}
        wide = tuple(
            header
            for header in free
            if _WIDE.fullmatch(plain_name(header)) and any(known(text_of(row.get(header))) for row in rows)
        )
        taken = {*named.values(), *shares, *wide}
        unread = [h for h in headers if h not in taken and plain_name(h) not in SILENT]
        ratings = [named[name] for name in ("intensity", "valence", "arousal") if name in named]
        scales = {h: max((number(row.get(h)) or 0.0 for row in rows), default=0.0) for h in ratings}
        unread += [f"{h} (from 0 to 1 or to 100 is expected)" for h, most in scales.items() if 1 < most <= 10]
        starts = [row for row in rows if "start" in named and (number(row.get(named["start"])) or 0.0) > 0]
        parts = frozenset(text_of(row.get(named.get("file", ""))) for row in starts)
        return cls(named, shares, wide, tuple(unread), scales, known, parts)

    def rows(self, where: str, cells: Cells) -> list[Row | Broken]:
        """A line of the table: one row, or one for each rater's column; a `Broken` says what cannot be read of it."""

        def cell(name: str) -> str:
            return text_of(cells.get(self.named.get(name, "")))

        if set(cells) == {""}:
            return [Broken(where, str(cells[""]))]
        file, sha256 = cell("file"), cell("sha256").lower()
        if not file and not sha256:
            return [Broken(where, "no file name")]
        if file in self.parts:
            return [Broken(where, f"it is on a part of {file}, from {cell('start')} s on; cut the recording there")]
        try:
            facts = {
                **{name: cell(name) or None for name in ("transcript", "language", "session", "sha256", "gold")},
                **{"gender": cell("gender").lower() or None, "split": cell("split").lower() or None},
                "age": number(cell("age")),
                **{"speaker": cell("speaker"), "consent": cell("consent"), "weight": _weight(cell("weight"))},
                "intensity": _intensity(cell("intensity"), self.scales.get(self.named.get("intensity", ""), 0.0)),
            }
            given = [(text_of(cells.get(header)), header.strip()) for header in self.wide if text_of(cells.get(header))]
            shares = self._shares(cells)
            vote = self._vote(cell)
        except ValueError as error:
            return [Broken(where, str(error))]
        parts = label_parts(cells.get(self.named.get("label", ""))) or [cell("original_label")]
        if len(parts) > 1 and not shares and all(map(self.known, parts)):
            shares = dict.fromkeys(parts, 1.0)
        label = "" if shares else "; ".join(filter(None, parts))
        found: list[Row | Broken] = []
        if label or shares or not given:
            rater = cell("rater") or None
            found.append(Row(file, label, shares=shares, rater=rater, vote=vote, **facts))  # type: ignore[arg-type]
        found += [Row(file, text, rater=rater, **facts) for text, rater in given]  # type: ignore[arg-type]
        return found

    def _shares(self, cells: Cells) -> dict[str, float] | None:
        given = cells.get(self.named.get("distribution", "")) or None
        if isinstance(given, str):
            try:
                given = read_json(given)
            except json.JSONDecodeError as error:
                raise ValueError(f"the distribution {given[:40]!r} is no JSON") from error
        if given is None:
            given = {label: cells.get(header) for header, label in self.shares.items()}
        if not isinstance(given, Mapping):
            raise ValueError(f"the distribution {str(given)[:40]!r} is no object of shares")
        shares = {str(label): number(share) for label, share in given.items()}
        return {label: share for label, share in shares.items() if share} or None

    def _vote(self, cell: Callable[[str], str]) -> dict[str, object]:
        vote: dict[str, object] = {
            name: cell(name) for name in ("verdict", "comment", "created_at", "retracted_at") if cell(name)
        }
        if cell("seconds"):
            vote["seconds"] = number(cell("seconds"))
        if cell("answer_shown"):
            vote["answer_shown"] = cell("answer_shown").lower() in ("1", "true", "1.0")
        for name in ("intensity", "valence", "arousal"):
            value, most = number(cell(name)), self.scales.get(self.named.get(name, ""), 0.0)
            # Of scales from 1 to 5, 7 or 9 the ends are not known.
            if value is not None and (most > 10 or most <= 1):
                vote[name] = value if most > 10 else 100 * value
        return vote


def text_of(value: object) -> str:
    """A cell as text; absent values and what stands for them in data frames are empty.

    >>> text_of(3.0), text_of(float("nan")), text_of({"choices": ["angry"]}), text_of(["sad", "fear"])
    ('3', '', 'angry', 'sad; fear')
    """
    if isinstance(value, Mapping):
        value = value.get("choices") or next((value[key] for key in ("text", "path", "email") if value.get(key)), "")
    if isinstance(value, list | tuple):
        return "; ".join(filter(None, map(text_of, value)))
    if value is None or isinstance(value, float) and math.isnan(value):
        return ""
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    return "" if text.casefold() in ("nan", "none", "null", "<na>", "nat", "n/a") else text


def read_json(text: str) -> Any:
    """The value of a text in JSON.

    Raises:
        json.JSONDecodeError: if it is none, or lists within lists go deeper than Python follows.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise json.JSONDecodeError("nested too deeply", text[:40], 0) from error


def label_parts(value: Any) -> list[str]:
    """The labels of a cell, which may list several as annotation tools write them.

    >>> label_parts("sad|fear"), label_parts('{"choices": ["sad", "fear"]}'), label_parts("生气/angry")
    (['sad', 'fear'], ['sad', 'fear'], ['生气/angry'])
    """
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            value = read_json(value)
        except json.JSONDecodeError:
            pass
    return [part.strip() for part in re.split(r"[;|,]", text_of(value)) if part.strip()]


def number(value: object) -> float | None:
    """A cell as a number, with a decimal point or comma; None if it holds none.

    >>> number("0,5"), number("2"), number("much"), number("nan")
    (0.5, 2.0, None, None)
    """
    try:
        found = float(text_of(value).replace(",", "."))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _numeric(values: Iterable[object]) -> bool:
    given = [value for value in values if text_of(value)]
    return bool(given) and all(number(value) is not None for value in given)


def _weight(text: str) -> float:
    weight = number(text) if text else 1.0
    if weight is None:
        raise ValueError(f"the weight '{text}' is no number")
    if weight <= 0:
        raise ValueError(f"the weight {text} must be above 0")
    return weight


def _intensity(text: str, most: float) -> float | None:
    known = INTENSITIES.get(text.lower(), number(text))
    if known is not None and most > 1:
        # Of scales from 1 to 5, 7 or 9 the ends are not known.
        known = known / 100 if most > 10 else None if known > 0 else known
        return known if known is None or 0.0 <= known <= 1.0 else None
    if text and (known is None or not 0.0 <= known <= 1.0):
        raise ValueError(f"the intensity '{text}' is neither {', nor '.join(INTENSITIES)}, nor a number from 0 to 1")
    return known
