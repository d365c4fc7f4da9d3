"""Filters of the list of clips: which there are, whom they may be used by, and what they let through."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from sqlite3 import Connection

import numpy as np

from annotations.errors import StoreError
from annotations.labels.label_set import LabelSet
from annotations.labels.stored import read_label_set
from annotations.raters.disclosure import hides_answers
from annotations.raters.people import Person
from annotations.raters.ratings import SCALES
from annotations.review.filters import QueueFilter
from annotations.review.index import Mask, QueueIndex
from annotations.review.suspects import OPEN, REQUEUED
from annotations.store import AnnotationStore
from annotations.store.records import CONSENT_PURPOSES

SEE_VOTES = "see other people's votes"

DISAGREE = 0.5
"""Divergence in bits from which on voice and words are found as disagreeing."""

TRAINING = {
    "trained": "SELECT clip_id FROM run_clips WHERE side IN ('training', 'out of fold')",
    "held out": "SELECT clip_id FROM run_clips WHERE side = 'held out' "
    "EXCEPT SELECT clip_id FROM run_clips WHERE side IN ('training', 'out of fold')",
    "not yet": "SELECT clip_id FROM judgements WHERE label IS NOT NULL EXCEPT SELECT clip_id FROM run_clips",
    "suspected": OPEN,
    "queued again": REQUEUED,
}
"""{training status: the clips that have it}"""

DISAGREEMENTS = ("raters", "words", "model", "pair", "not-model", "not-pair")
"""Who disagrees: raters with each other, voice and words, people and the model, the two raters of the filter; with
`not-` before it, who agrees."""

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
        rated: one of `SCALES`, on which two people or more have rated the clip.
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
    rated: str | None = None
    mine: bool | None = None
    clips: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        purposes = (*CONSENT_PURPOSES, *(f"no {purpose}" for purpose in CONSENT_PURPOSES))
        for name, known in (
            ("training", TRAINING),
            ("disagreement", DISAGREEMENTS),
            ("votes", VOTES),
            ("rated", SCALES),
            ("consent", purposes),
        ):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise StoreError(f"The filter {name} is '{value}'; expected one of {', '.join(known)}.")
        for name in ("since", "until", "voted_since", "voted_until"):
            _day(name, getattr(self, name))


def _day(name: str, day: str | None) -> date | None:
    try:
        return date.fromisoformat(day) if day is not None else None
    except ValueError as error:
        raise StoreError(f"The filter {name} is '{day}'; expected a day such as 2026-01-31.") from error


def check_allowed(store: AnnotationStore, person: Person, filters: ClipFilter, order: str) -> None:
    """Refuse what would tell of others' votes, of gold clips, or of answers that are hidden until a vote."""
    if person.may(SEE_VOTES):
        return
    for name in ("also_voted", "other_rater", "gold", "training", "suspected", "disagreement", "hasty", "rated"):
        # Of their own votes they may know which came too fast.
        allowed = (name == "disagreement" and filters.disagreement == "words") or (name == "hasty" and filters.mine)
        if getattr(filters, name) is not None and not allowed:
            person.require(SEE_VOTES)
    if order == "dispute" or filters.rater not in (None, person.name):
        person.require(SEE_VOTES)
    tells = filters.label is not None or filters.disagreement == "words" or order in ("label", "certainty", "words")
    if tells:
        with store.reading() as connection:
            if hides_answers(connection, person):
                person.require(SEE_VOTES)


def chosen_by_votes(store: AnnotationStore, person: Person, filters: ClipFilter) -> list[Iterable[int]]:
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
        if filters.disagreement in ("model", "not-model"):
            same = filters.disagreement == "not-model"
            chosen.append(_beside_model(connection, read_label_set(connection), same))
        if filters.disagreement in ("pair", "not-pair"):
            pair = _PAIR.format(sign="=" if filters.disagreement == "not-pair" else "!=")
            chosen.append(_ids(connection, pair, (filters.rater, filters.other_rater)))
        if filters.rated is not None:
            chosen.append(_ids(connection, _RATED.format(scale=filters.rated)))
        if filters.other_rater is not None:
            # Two raters are compared on what both have labelled: where one was unsure, there is nothing to compare.
            query = "SELECT clip_id FROM judgements WHERE label IS NOT NULL AND rater = ?"
            two = (filters.other_rater, filters.rater or filters.other_rater)
            chosen += [_ids(connection, query, (rater,)) for rater in two]
        if filters.clips is not None:
            chosen.append(filters.clips)
    return chosen


_OWN = "SELECT clip_id FROM judgements WHERE rater = ? UNION SELECT clip_id FROM consents_in_force WHERE given_by = ?"

_PAIR = """
SELECT one.clip_id FROM judgements AS one JOIN judgements AS other USING (clip_id)
WHERE one.rater = ? AND other.rater = ? AND one.label {sign} other.label
"""

_RATED = """
SELECT judgements.clip_id FROM judgements JOIN corrections ON corrections.id = judgements.correction_id
WHERE {scale} IS NOT NULL AND judgements.verdict != 'skip' GROUP BY judgements.clip_id HAVING count(*) > 1
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


def _beside_model(connection: Connection, labels: LabelSet, same: bool) -> Iterable[int]:
    """Clips with a vote that names the label of the newest answer, or another one, as the label set sees them."""
    both = "FROM judgements JOIN queue_clips USING (clip_id) WHERE judgements.label "
    if labels.is_default:
        return _ids(connection, f"SELECT DISTINCT clip_id {both}{'=' if same else '!='} queue_clips.label")
    rows = connection.execute(f"SELECT clip_id, judgements.label, queue_clips.label {both}IS NOT NULL")
    places = {name: labels.place_of(name) for name in labels.accepted}
    return [
        clip_id
        for clip_id, voted, answered in rows
        if answered is not None and (places.get(voted, voted) == places.get(answered, answered)) == same
    ]


def _ids(connection: Connection, query: str, values: Sequence[object] = ()) -> list[int]:
    return [row[0] for row in connection.execute(query, values)]


def mask_of(index: QueueIndex, ids: Iterable[int]) -> Mask:
    """The mask of some clips."""
    mask = np.zeros(index.size, np.bool_)
    mask[index.places(ids)] = True
    return mask


def apply_columns(index: QueueIndex, filters: ClipFilter, mask: Mask) -> None:
    """Take the clips that the index's own columns leave out off a mask."""
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


def with_text(index: QueueIndex, connection: Connection, person: Person, text: str) -> Mask:
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
