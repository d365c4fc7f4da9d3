"""Tasks of annotation tools -> rows: Label Studio's JSON and Argilla's records, one row for each person's answer. Pure.

Source: https://labelstud.io/guide/task_format, https://labelstud.io/guide/export and
https://docs.argilla.io/latest/how_to_guides/import_export/
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ser.corpora.corpus import Broken, Row
from ser.corpora.tables.columns import COLUMNS, Cells, find_columns, number, plain_name, text_of
from ser.labels import to_emotion

FACTS = ("speaker", "session", "transcript", "language", "gender", "consent", "gold", "sha256")
RATINGS = ("intensity", "valence", "arousal")
UNSURE = frozenset(("unsure", "not sure", "don't know", "uncertain"))
STARS = 5
"""Stars of a rating unless more were given. Source: `maxRating` of https://labelstud.io/tags/rating"""

Answer = dict[str, Any]
"""`label`, `shares`, `rater`, `vote` and `gold` of a `Row`."""


def is_task(cells: Cells) -> bool:
    """True if a JSON object is a task with people's answers, and no plain row."""
    if isinstance(cells.get("data"), Mapping):
        return "annotations" in cells or "completions" in cells
    return isinstance(cells.get("fields"), Mapping) or any(name.endswith(".responses") for name in cells)


def task_rows(lines: Iterable[tuple[str, Cells]]) -> tuple[list[Row | Broken], list[str]]:
    """The rows of tasks, with a `Broken` for each kind of answers that has no place here, and sentences for people."""
    rows: list[Row | Broken] = []
    aside: Counter[str] = Counter()
    table, guesses = "", 0
    for where, task in lines:
        table = where.rpartition(", ")[0]
        try:
            said, answers = (_studio if isinstance(task.get("data"), Mapping) else _argilla)(task, aside)
        except (AttributeError, TypeError, ValueError) as error:
            rows.append(Broken(where, f"its answers are not as the tool exports them ({error}); export it again"))
            continue
        columns = find_columns(said)
        file = text_of(said.get(columns.get("file", "")))
        if not file:
            rows.append(Broken(where, f"none of {', '.join(said) or 'its fields'} is a recording's name"))
            continue
        facts = {name: text_of(said.get(columns.get(name, ""))) for name in FACTS}
        guesses += len(task.get("predictions") or task.get("suggestions") or ())  # type: ignore[arg-type]
        if not answers:
            # What a task says of itself is what its answers were taken together to, if it has any.
            answers = [{"label": text_of(said.get(columns.get("label", "")))}]
        nameless = 0
        for answer in answers:
            if answer.get("rater") is None:
                nameless += 1
                answer["rater"] = f"#{nameless}" if nameless > 1 else None
            rows.append(Row(file, **{**facts, "label": "", **answer}))
    rows += [Broken(table, f"{count} {what} were not read") for what, count in aside.items()]
    return rows, [f"{table}: {guesses} answer{'' if guesses == 1 else 's'} of models not read."] if guesses else []


def _studio(task: Cells, aside: Counter[str]) -> tuple[Cells, list[Answer]]:
    """The data of a task of Label Studio, and its annotations."""
    answers = []
    given = task.get("annotations") or task.get("completions") or []
    for annotation in given if isinstance(given, list) else []:
        answer = _answer(_results(annotation.get("result") or [], aside), aside)
        answer["rater"] = text_of(annotation.get("completed_by")) or None
        if isinstance(annotation.get("completed_by"), Mapping):
            by = annotation["completed_by"]
            answer["rater"] = text_of(by.get("email") or by.get("username") or by.get("id")) or None
        if annotation.get("was_cancelled"):
            answer |= {"label": "", "shares": None}
            answer["vote"]["verdict"] = "skip"
        if annotation.get("created_at"):
            answer["vote"]["created_at"] = str(annotation["created_at"])
        seconds = number(annotation.get("lead_time"))
        answer["vote"] |= {"seconds": seconds} if seconds is not None else {}
        if annotation.get("ground_truth") and answer["label"]:
            answer["gold"] = answer["label"]
        answers.append(answer)
    data = task["data"]
    assert isinstance(data, Mapping)
    addresses = [name for name, value in data.items() if isinstance(value, str) and ("/" in value or "." in value[-5:])]
    return (data if "file" in find_columns(data) or not addresses else {**data, "file": data[addresses[0]]}), answers


def _results(results: Sequence[Mapping[str, Any]], aside: Counter[str]) -> Iterator[tuple[str, object]]:
    """(name of the question, answer) of an annotation: a list of labels, a text, or a number from 0 to 100."""
    for result in results:
        kind, value, name = result.get("type"), result.get("value") or {}, str(result.get("from_name"))
        # A region that is nearly all of the recording says the same of it as none.
        whole = 0.95 * (number(result.get("original_length")) or math.inf)
        length = (number(value.get("end")) or 0.0) - (number(value.get("start")) or 0.0)
        if "start" in value and length < whole:
            aside["answers on parts of recordings"] += 1
        elif kind in ("choices", "labels"):
            yield name, list(map(str, value.get(kind) or []))
        elif kind == "textarea":
            yield name, " ".join(_texts(value.get("text")))
        elif kind == "rating" and number(value.get("rating")):
            stars = float(value["rating"])
            yield name, round(100 * (stars - 1) / (max(STARS, stars) - 1))
        elif kind == "number" and number(value.get("number")) is not None:
            yield name, number(value["number"])
        else:
            aside[f"answers of the kind '{kind}'"] += 1


def _argilla(task: Cells, aside: Counter[str]) -> tuple[Cells, list[Answer]]:
    """The fields of a record of Argilla, and its responses, of either version and from tables."""
    people: defaultdict[object, dict[str, object]] = defaultdict(dict)
    skipped: set[object] = set()
    responses = task.get("responses") or {}
    if isinstance(responses, list):
        for place, response in enumerate(responses):
            user = response.get("user_id") or place
            people[user] = {name: value.get("value") for name, value in (response.get("values") or {}).items()}
            skipped |= {user} if response.get("status") == "discarded" else set()
    elif isinstance(responses, Mapping):
        for name, given in responses.items():
            for place, response in enumerate(given):
                people[response.get("user_id") or place][name] = response.get("value")
    for name, given in task.items():
        if name.endswith(".responses") and isinstance(given, list):
            users = task.get(f"{name}.users") or range(len(given))
            for user, value in zip(users, given, strict=False):  # type: ignore[call-overload]
                people[user][name.removesuffix(".responses")] = value
    answers = []
    for user, values in people.items():
        answer = _answer(
            ((name, [v] if isinstance(v, str) and to_emotion(v) else v) for name, v in values.items()), aside
        )
        if user in skipped:
            answer |= {"label": "", "shares": None}
            answer["vote"]["verdict"] = "skip"
        answers.append({**answer, "rater": None if isinstance(user, int) else str(user)})
    fields, facts = task.get("fields"), task.get("metadata")
    said = {**(fields if isinstance(fields, Mapping) else task), **(facts if isinstance(facts, Mapping) else {})}
    return said, answers


def _answer(parts: Iterable[tuple[str, object]], aside: Counter[str]) -> Answer:
    """One person's answers to the questions of a task as label, shares and vote."""
    labels: list[str] = []
    other: dict[str, list[str]] = {}
    vote: dict[str, object] = {}
    for name, value in parts:
        plain = plain_name(name)
        texts = [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]
        if isinstance(value, int | float):
            if plain in RATINGS and 0 <= value <= 100:
                vote[plain] = value
            else:
                aside[f"answers to '{name}'"] += 1
        elif not texts:
            continue
        elif plain in COLUMNS["label"] or isinstance(value, list) and all(map(to_emotion, texts)):
            labels = texts
        elif isinstance(value, list):
            other[name] = texts
        else:
            column = "transcript" if plain in COLUMNS["transcript"] else "comment"
            vote[column] = "\n".join(filter(None, (str(vote.get(column, "")), *texts)))
    if not labels and other:
        labels = other.pop(next(iter(other)))
    if other:
        # Answers to questions that are not ours, such as the quality of the recording.
        more = "; ".join(f"{name}: {', '.join(texts)}" for name, texts in other.items())
        vote["comment"] = "\n".join(filter(None, (str(vote.get("comment", "")), more)))
    if len(labels) == 1 and labels[0].strip().casefold() in UNSURE:
        return {"label": "", "shares": None, "vote": {**vote, "verdict": "unsure"}}
    shares = dict.fromkeys(labels, 1.0) if len(labels) > 1 else None
    return {"label": "" if shares else "".join(labels), "shares": shares, "vote": vote}


def _texts(value: object) -> list[str]:
    return list(map(str, value)) if isinstance(value, list) else [str(value)] if value else []
