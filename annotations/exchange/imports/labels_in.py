"""Labels of tables -> votes, known answers and original labels. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime

from annotations.exchange.imports.incoming import Incoming
from annotations.exchange.imports.options import RATER_PREFIX, ImportOptions, ImportReport
from annotations.store.new_records import LABELLING_VERDICTS, MAX_NAME, NewVote
from annotations.store.rows import normalise_timestamp
from ser.corpora.corpus import Row

MAX_ORIGINAL = 200
"""Characters of the labels that a clip came with."""

VOTE_FIELDS = frozenset(field.name for field in fields(NewVote))
FIRST_EPOCH = 10**8
"""Times above are seconds since 1970, those a thousand times above milliseconds."""


@dataclass(frozen=True)
class Labels:
    """Labels of a recording.

    Attributes:
        votes: one of each rater.
        gold: the known answer.
        original: labels that give no vote, as they were given.
    """

    votes: tuple[NewVote, ...] = ()
    gold: str | None = None
    original: str | None = None


def read_labels(item: Incoming, options: ImportOptions, report: ImportReport) -> Labels:
    """Turn the labels of a recording's rows into votes; what gives none is counted in the report.

    Raises:
        InvalidVoteError: if a rater's name or a value cannot be stored.
    """
    votes, gold, original = [], list[str](), list[str]()
    for row in item.rows:
        given = row.shares or ({row.label: 1.0} if row.label else {})
        if given and not options.wants_labels:
            report.unasked_labels += 1
            original += given
            continue
        shares = Counter[str]()
        for name, share in given.items():
            label = options.label_of(name)
            if label is None:
                report.unknown_labels[name] += 1
            else:
                report.labels[name, label] += 1
            if label:
                shares[label] += share  # type: ignore[assignment]
            else:
                original.append(name)
        vote = _vote(row, shares, item.corpus, options, report) if options.labels or options.labels_as else None
        votes += [vote] if vote is not None else []
        gold += [options.label_of(row.gold) or ""] if row.gold else []
        gold += [max(shares, key=lambda name: shares[name])] if options.gold and shares else []
    known = set(filter(None, gold))
    if len(known) > 1:
        report.notes.append(
            f"{item.name}: its labels contradict each other ({', '.join(sorted(known))}): no known answer."
        )
    kept = " | ".join(dict.fromkeys(" ".join(name.split()) for name in original))[:MAX_ORIGINAL] or None
    return Labels(tuple(votes), known.pop() if len(known) == 1 else None, kept)


def _vote(
    row: Row, shares: Mapping[str, float], corpus: str, options: ImportOptions, report: ImportReport
) -> NewVote | None:
    said = {name: value for name, value in row.vote.items() if name in VOTE_FIELDS}
    verdict = said.pop("verdict", "correct")
    if (verdict in LABELLING_VERDICTS) != bool(shares):
        return None
    for name in ("created_at", "retracted_at"):
        if name in said:
            said[name] = _time(str(said[name]), report)
    nameless = row.rater is None or row.rater.startswith("#")
    if nameless:
        own = options.labels_as or f"{RATER_PREFIX}{corpus}"
        rater = f"{own[: MAX_NAME - 6]} {row.rater}" if row.rater else own[:MAX_NAME]
    else:
        rater = str(row.rater)
    if nameless or "verdict" in row.vote:
        said.setdefault("transcript", row.transcript)
    return NewVote(
        rater=rater,
        verdict=str(verdict),
        label=next(iter(shares)) if len(shares) == 1 else None,
        distribution=dict(shares) if len(shares) > 1 else None,
        label_set=options.label_set.names,
        **said,  # type: ignore[arg-type]
    )


def _time(text: str, report: ImportReport) -> str | None:
    """A time of a table as the store keeps it; None, with a note, if it is none."""
    try:
        if text.replace(".", "", 1).isdigit() and float(text) > FIRST_EPOCH:
            seconds = float(text) / (1000 if float(text) > 1000 * FIRST_EPOCH else 1)
            return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
        return normalise_timestamp(text.replace(" UTC", "+00:00"))
    except (ValueError, OverflowError, OSError):
        note = f"Times such as '{text}' are not in ISO 8601 and were not read."
        if not any(said.startswith("Times such as") for said in report.notes):
            report.notes.append(note)
        return None
