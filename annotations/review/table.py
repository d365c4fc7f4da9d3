"""The list of all stored clips: found by filters, put in an order, read a page at a time.

Finds in memory (`annotations.review.index`), as the queue does; what a page shows is read from the database. People who
may not see others' votes find and see clips by their own votes alone, and visitors their own clips alone.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, date, datetime, timedelta
from sqlite3 import Connection

import numpy as np
import numpy.typing as npt

from annotations.errors import StoreError
from annotations.labels.label_set import LabelSet
from annotations.labels.stored import label_set, read_label_set
from annotations.raters.disclosure import hides_answers, voting_is_over
from annotations.raters.people import Person
from annotations.raters.votes import gold_labels
from annotations.review.filters import QueueFilter, apply_filter
from annotations.review.index import NOTHING, Mask, QueueIndex, index_of
from annotations.review.suspects import OPEN, REQUEUED
from annotations.store import AnnotationStore
from annotations.store.records import CONSENT_PURPOSES, Clip
from annotations.store.rows import CLIPS, to_clip

Ids = npt.NDArray[np.int64]

SEE_VOTES = "see other people's votes"

DISAGREE = 0.5
"""Divergence in bits from which on voice and words are found as disagreeing."""

ORDERS = ("stored", "voted", "duration", "label", "certainty", "words", "dispute", "votes", "source", "speaker")
"""Columns that the list can be sorted by; `voted` is the time of the rater's vote, else of the person's own."""

TRAINING = {
    "trained": "SELECT clip_id FROM run_clips WHERE side IN ('training', 'out of fold')",
    "held out": "SELECT clip_id FROM run_clips WHERE side = 'held out' "
    "EXCEPT SELECT clip_id FROM run_clips WHERE side IN ('training', 'out of fold')",
    "not yet": "SELECT clip_id FROM judgements WHERE label IS NOT NULL EXCEPT SELECT clip_id FROM run_clips",
    "suspected": OPEN,
    "queued again": REQUEUED,
}
"""{training status: the clips that have it}"""

DISAGREEMENTS = ("raters", "words", "model", "pair")
"""Who disagrees: raters with each other, voice and words, people and the model, the two raters of the filter."""

VOTES = {"none": (0, 0), "one": (1, 1), "some": (1, 32767), "several": (2, 32767)}
"""{name: least and greatest number of votes with a label}"""


@dataclass(frozen=True)
class ClipFilter(QueueFilter):
    """Filters of the list; None does not filter. `text` is looked for in comments and file names, too.

    Attributes:
        voted: a label that a standing vote names, or `unsure` or `skip`.
        also_voted: a label that another standing vote names.
        other_rater: somebody else who has labelled the clip.
        speaker: of the clip.
        since: first day on which it was stored, ISO date, UTC.
        until: last day.
        voted_since: first day of a standing vote.
        voted_until: last day.
        consent: a purpose of `CONSENT_PURPOSES` that is allowed; with `no ` before it, one that is not.
        gold: whether its label is known.
        training: one of `TRAINING`.
        disagreement: one of `DISAGREEMENTS`.
        votes: one of `VOTES`.
        hasty: only clips with a vote that came before half of the clip had been played.
        mine: only clips that the person has voted on.
        clips: only these ids.
    """

    voted: str | None = None
    also_voted: str | None = None
    other_rater: str | None = None
    speaker: str | None = None
    since: str | None = None
    until: str | None = None
    voted_since: str | None = None
    voted_until: str | None = None
    consent: str | None = None
    gold: bool | None = None
    training: str | None = None
    disagreement: str | None = None
    votes: str | None = None
    hasty: bool | None = None
    mine: bool | None = None
    clips: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        purposes = (*CONSENT_PURPOSES, *(f"no {purpose}" for purpose in CONSENT_PURPOSES))
        for name, known in (
            ("training", TRAINING),
            ("disagreement", DISAGREEMENTS),
            ("votes", VOTES),
            ("consent", purposes),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise StoreError(f"The filter {name} is '{value}'; expected one of {', '.join(known)}.")
        for name in ("since", "until", "voted_since", "voted_until"):
            _day(name, getattr(self, name))


@dataclass(frozen=True)
class ClipRow:
    """A clip as the list shows it.

    Attributes:
        clip: the recording.
        file: name of the file that it was imported from.
        text: what was said, as last corrected.
        label: of the newest answer; None without one, or where it is hidden until the person's own vote.
        confidence: of that label.
        version: that gave the answer.
        votes: {label: standing votes}, as far as the person may see them; `unsure` and `skip` among them.
        mine: the person's own standing vote, likewise.
        count: labels that people gave.
        gold: known label, for who may know it.
    """

    clip: Clip
    file: str | None = None
    text: str = ""
    label: str | None = None
    confidence: float | None = None
    version: str | None = None
    votes: Mapping[str, int] = field(default_factory=dict)
    mine: str | None = None
    count: int = 0
    gold: str | None = None


def find_clips(
    store: AnnotationStore,
    person: Person,
    filters: ClipFilter | None = None,
    *,
    order: str = "stored",
    descending: bool = True,
) -> Ids:
    """Find all clips that a person may see and that filters let through, in an order.

    Args:
        store: to read.
        person: who looks.
        filters: which clips; None for all.
        order: one of `ORDERS`; clips without the value come last.
        descending: the largest, newest, or last in the alphabet first.

    Returns:
        Their ids, shape (clips,).

    Raises:
        NotAllowedError: if a filter or an order would show what the person may not see.
        StoreError: if there is no such order.
    """
    filters = filters or ClipFilter()
    if order not in ORDERS:
        raise StoreError(f"The order is '{order}'; expected one of {', '.join(ORDERS)}.")
    _check_allowed(store, person, filters, order)
    # What is read of other tables is read before the lock is taken, so that votes need not wait for it.
    chosen = _chosen_by_votes(store, person, filters)
    times = _vote_times(store, filters.rater or person.name) if order == "voted" else {}
    index = index_of(store)
    with index.lock, store.reading() as connection:
        index.refresh(connection)
        mask = index.alive[: index.size].copy()
        mask[index.places(row["clip_id"] for row in connection.execute("SELECT clip_id FROM missing_media"))] = True
        # Rows whose clip was erased are marked dead and have no row any more.
        apply_filter(index, connection, replace(filters, text=None), mask)
        _apply_columns(index, filters, mask)
        for ids in chosen:
            mask &= _mask(index, ids)
        if filters.text is not None:
            mask &= _with_text(index, connection, person, filters.text)
        places = np.flatnonzero(mask)
        keys = _keys(index, order, times)[places]
        ids = index.columns["id"][places]
    sign = -1 if descending else 1
    found: Ids = ids[np.lexsort((sign * ids, sign * keys))]
    return found


def read_rows(store: AnnotationStore, person: Person, clip_ids: Sequence[int]) -> list[ClipRow]:
    """Read what the list shows of some clips, in the order asked for; those erased meanwhile are left out.

    Args:
        store: to read.
        person: who looks; decides which votes and answers are shown.
        clip_ids: of a page.
    """
    labels = label_set(store)
    gold = gold_labels(store) if person.may("change settings") else {}
    listed = json.dumps([int(clip_id) for clip_id in clip_ids])
    with store.reading() as connection:
        stored = connection.execute(_PAGE, (listed,)).fetchall()
        said = connection.execute(_VOTES_ON, (listed,)).fetchall()
        over = voting_is_over(connection, clip_ids) if person.may("review stored clips") else frozenset()
        own = {row["clip_id"]: row["label"] or row["verdict"] for row in said if row["rater"] == person.name}
        hidden = hides_answers(connection, person)
    own = own if person.proved else {}
    votes: dict[int, dict[str, int]] = {}
    for row in said:
        mine = person.proved and row["rater"] == person.name
        if mine or person.may(SEE_VOTES) or row["clip_id"] in over:
            name = labels.place_of(row["label"]) or row["label"] if row["label"] else row["verdict"]
            counts = votes.setdefault(row["clip_id"], {})
            counts[name] = counts.get(name, 0) + 1
    rows = {}
    for row in stored:
        clip = to_clip(row)
        shown = row["scores"] is not None and (not hidden or clip.id in own)
        scores = labels.scores(json.loads(row["scores"])["fused"]) if shown else {}
        label = max((n for n in scores if scores[n] is not None), key=lambda n: scores[n] or 0.0, default=None)
        rows[clip.id] = ClipRow(
            clip,
            file=row["original_name"],
            text=row["text"] or "",
            label=label,
            confidence=scores[label] if label else None,
            version=row["version"] if shown else None,
            votes=votes.get(clip.id, {}),
            mine=own.get(clip.id),
            count=row["votes"],
            gold=gold.get(clip.id),
        )
    return [rows[int(clip_id)] for clip_id in clip_ids if int(clip_id) in rows]


def known_texts(store: AnnotationStore, column: str) -> list[str]:
    """List the sources, speakers or languages that there are, in alphabetical order."""
    index = index_of(store)
    with index.lock, store.reading() as connection:
        index.refresh(connection)
        return index.known_texts(column)


_PAGE = f"""
SELECT page.*, text, queue_clips.votes, scores, model_versions.name AS version
FROM ({CLIPS} WHERE clips.id IN (SELECT value FROM json_each(?))) AS page
JOIN queue_clips ON queue_clips.clip_id = page.id
LEFT JOIN clip_texts ON clip_texts.clip_id = page.id
LEFT JOIN predictions ON predictions.id = queue_clips.prediction_id
LEFT JOIN model_versions ON model_versions.id = predictions.model_version_id
"""

_VOTES_ON = """
SELECT clip_id, rater, label, verdict FROM judgements
WHERE verdict IS NOT NULL AND clip_id IN (SELECT value FROM json_each(?)) ORDER BY clip_id
"""


def _day(name: str, day: str | None) -> date | None:
    try:
        return date.fromisoformat(day) if day is not None else None
    except ValueError as error:
        raise StoreError(f"The filter {name} is '{day}'; expected a day such as 2026-01-31.") from error


def _check_allowed(store: AnnotationStore, person: Person, filters: ClipFilter, order: str) -> None:
    """Refuse what would tell of others' votes, of gold clips, or of answers that are hidden until a vote."""
    if person.may(SEE_VOTES):
        return
    for name in ("also_voted", "other_rater", "gold", "training", "suspected", "disagreement", "hasty"):
        if getattr(filters, name) is not None and (name, filters.disagreement) != ("disagreement", "words"):
            person.require(SEE_VOTES)
    if order == "dispute" or filters.rater not in (None, person.name):
        person.require(SEE_VOTES)
    tells = filters.label is not None or filters.disagreement == "words" or order in ("label", "certainty", "words")
    if tells:
        with store.reading() as connection:
            if hides_answers(connection, person):
                person.require(SEE_VOTES)


def _chosen_by_votes(store: AnnotationStore, person: Person, filters: ClipFilter) -> list[Iterable[int]]:
    """Sets of ids that other tables choose; a clip has to be in each."""
    with store.reading() as connection:
        chosen: list[Iterable[int]] = []
        if not person.may("review stored clips"):
            chosen.append(_ids(connection, _OWN, (person.name, person.name)) if person.proved else [])
        if filters.mine and not person.proved:
            chosen.append([])
        votes = _votes_query(person, filters, read_label_set(connection))
        if votes is not None:
            chosen.append(_ids(connection, *votes))
        if filters.also_voted is not None:
            other = _votes_query(person, ClipFilter(voted=filters.also_voted), read_label_set(connection))
            chosen.append(_ids(connection, *other) if other else [])
        if filters.training is not None:
            chosen.append(_ids(connection, TRAINING[filters.training]))
        if filters.disagreement == "model":
            chosen.append(_against_model(connection, read_label_set(connection)))
        if filters.disagreement == "pair":
            chosen.append(_ids(connection, _PAIR, (filters.rater, filters.other_rater)))
        if filters.other_rater is not None:
            query = "SELECT clip_id FROM judgements WHERE verdict IS NOT NULL AND rater = ?"
            chosen.append(_ids(connection, query, (filters.other_rater,)))
        if filters.clips is not None:
            chosen.append(filters.clips)
    return chosen


_OWN = "SELECT clip_id FROM judgements WHERE rater = ? UNION SELECT clip_id FROM consents_in_force WHERE given_by = ?"

_PAIR = """
SELECT one.clip_id FROM judgements AS one JOIN judgements AS other USING (clip_id)
WHERE one.rater = ? AND other.rater = ? AND one.label != other.label
"""

_HASTY = (
    "corrections.seconds IS NOT NULL "
    "AND corrections.seconds < 0.5 * (SELECT duration FROM queue_clips WHERE clip_id = corrections.clip_id)"
)

_OF_JUDGEMENTS = """
corrections CROSS JOIN judgements ON judgements.rater = corrections.rater
    AND judgements.clip_id = corrections.clip_id AND judgements.correction_id = corrections.id
"""
"""Standing votes with their time, read in the order of the larger table: its rows are looked up by nothing."""


def _votes_query(person: Person, filters: ClipFilter, labels: LabelSet) -> tuple[str, list[object]] | None:
    """The clips with one standing vote that fits all that is asked of a vote; None if nothing is."""
    where, values, joined = ["judgements.verdict IS NOT NULL"], list[object](), False
    if filters.voted is not None:
        if filters.voted in ("unsure", "skip"):
            where.append("judgements.verdict = ?")
            values.append(filters.voted)
        else:
            names = labels.sources(filters.voted)
            where.append(f"judgements.label IN ({','.join('?' * len(names))})")
            values += names
    for day, sign, later in ((filters.voted_since, ">=", 0), (filters.voted_until, "<", 1)):
        if (parsed := _day("voted", day)) is not None:
            joined = True
            where.append(f"corrections.created_at {sign} ?")
            values.append((parsed + timedelta(days=later)).isoformat())
    if filters.hasty:
        joined = True
        where.append(_HASTY)
    if not filters.mine and len(where) == 1:
        return None
    rater = person.name if filters.mine or not person.may(SEE_VOTES) else filters.rater
    if rater is not None:
        where.append("judgements.rater = ?")
        values.append(rater)
    source = _OF_JUDGEMENTS if joined else "judgements"
    return f"SELECT judgements.clip_id FROM {source} WHERE {' AND '.join(where)}", values


def _against_model(connection: Connection, labels: LabelSet) -> Iterable[int]:
    """Clips with a vote that names another label than the newest answer, both as the label set sees them."""
    apart = "FROM judgements JOIN queue_clips USING (clip_id) WHERE judgements.label != queue_clips.label"
    if labels.is_default:
        return _ids(connection, f"SELECT DISTINCT clip_id {apart}")
    rows = connection.execute(f"SELECT clip_id, judgements.label, queue_clips.label {apart}")
    places = {name: labels.place_of(name) for name in labels.accepted}
    return [clip_id for clip_id, voted, answered in rows if places.get(voted, voted) != places.get(answered, answered)]


def _ids(connection: Connection, query: str, values: Sequence[object] = ()) -> list[int]:
    return [row[0] for row in connection.execute(query, values)]


def _vote_times(store: AnnotationStore, rater: str) -> Mapping[int, int]:
    """{clip: number of a rater's standing vote}, which grows with time."""
    query = "SELECT clip_id, correction_id FROM judgements WHERE rater = ? AND verdict IS NOT NULL"
    return dict(tuple(row) for row in store.fetch(query, (rater,)))


def _mask(index: QueueIndex, ids: Iterable[int]) -> Mask:
    mask = np.zeros(index.size, np.bool_)
    mask[index.places(ids)] = True
    return mask


def _apply_columns(index: QueueIndex, filters: ClipFilter, mask: Mask) -> None:
    columns, size = index.columns, index.size
    if filters.speaker is not None:
        mask &= columns["speaker"][:size] == index.code("speaker", filters.speaker)
    for day, later in ((filters.since, 0), (filters.until, 1)):
        if (parsed := _day("since", day)) is not None:
            moment = datetime.combine(parsed + timedelta(days=later), datetime.min.time(), UTC).timestamp()
            stored = columns["stored"][:size]
            mask &= stored < moment if later else stored >= moment
    if filters.consent is not None:
        allowed = columns["consent"][:size] & (1 << CONSENT_PURPOSES.index(filters.consent.removeprefix("no ")))
        mask &= (allowed == 0) == filters.consent.startswith("no ")
    if filters.gold is not None:
        mask &= columns["gold"][:size] == filters.gold
    if filters.votes is not None:
        least, most = VOTES[filters.votes]
        votes = columns["votes"][:size]
        mask &= (votes >= least) & (votes <= most)
    if filters.disagreement == "raters":
        mask &= columns["dispute"][:size] > 0
    if filters.disagreement == "words":
        mask &= columns["disagreement"][:size] >= DISAGREE


def _with_text(index: QueueIndex, connection: Connection, person: Person, text: str) -> Mask:
    """Mask of clips whose transcript has all the words, or whose file name or comment has the text as it is."""
    found = index.with_words(connection, text)
    mask = np.zeros(index.size, np.bool_) if found is None else found.copy()
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    pattern = f"%{escaped}%"
    named = connection.execute("SELECT id FROM clips WHERE original_name LIKE ? ESCAPE '\\'", (pattern,))
    mask[index.places(row[0] for row in named)] = True
    everybody = person.may(SEE_VOTES)
    commented = connection.execute(
        "SELECT clip_id FROM corrections WHERE comment IS NOT NULL AND comment LIKE ? ESCAPE '\\'"
        + ("" if everybody else " AND rater = ?"),
        (pattern,) if everybody else (pattern, person.name),
    )
    mask[index.places(row[0] for row in commented)] = True
    return mask


def _keys(index: QueueIndex, order: str, times: Mapping[int, int]) -> npt.NDArray[np.float64]:
    if order in ("label", "source", "speaker"):
        return index.ranks(order)
    if order == "voted":
        keys = np.full(index.size, np.nan)
        keys[index.places(times)] = [times[int(n)] for n in index.columns["id"][index.places(times)]]
        return keys
    name = {"certainty": "entropy", "words": "disagreement"}.get(order, order)
    keys = index.columns[name][: index.size].astype(np.float64)
    if name in ("entropy", "disagreement"):
        keys[keys == NOTHING] = np.nan
    return 1 - keys if order == "certainty" else keys


FIELDS = tuple(one.name for one in fields(ClipFilter))
"""Names of all filters."""
