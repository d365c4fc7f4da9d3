"""Times the list of clips: a page of fifty for filters and orders, as a maintainer and as an annotator look at it."""

import time
from collections.abc import Mapping

from annotations.raters.people import Person
from annotations.review.clip_filters import ClipFilter
from annotations.review.table import find_clips, read_rows
from annotations.store import AnnotationStore, NewVote
from benchmarks.store.filling import VETERAN
from benchmarks.store.queue import percentile_ms

PAGE = 50
"""Clips on a page."""

CHIEF = Person("chief", "maintainer", proved=True)
RATER = Person(VETERAN, "annotator", proved=True)

LOOKS: tuple[tuple[Person, str, Mapping[str, object]], ...] = (
    (CHIEF, "stored", {}),
    (CHIEF, "speaker", {}),
    (CHIEF, "dispute", {"label": "fear"}),
    (CHIEF, "stored", {"voted": "fear"}),
    (CHIEF, "stored", {"voted": "fear", "label": "anger"}),
    (CHIEF, "stored", {"voted_since": "2020-01-01", "voted_until": "2100-01-01"}),
    (CHIEF, "stored", {"disagreement": "model"}),
    (CHIEF, "stored", {"disagreement": "raters"}),
    (CHIEF, "stored", {"hasty": True}),
    (CHIEF, "certainty", {"text": "word3"}),
    (CHIEF, "certainty", {"text": "word10 word20*"}),
    (CHIEF, "votes", {"training": "not yet"}),
    (CHIEF, "votes", {"training": "trained"}),
    (CHIEF, "words", {"version_id": 2, "source": "nemo"}),
    (CHIEF, "stored", {"rater": "rater 1", "other_rater": "rater 2", "disagreement": "pair"}),
    (CHIEF, "duration", {"consent": "no training", "speaker": "speaker 3"}),
    (CHIEF, "stored", {"gold": False, "votes": "several", "since": "2020-01-01"}),
    (RATER, "stored", {}),
    (RATER, "voted", {"mine": True}),
    (RATER, "stored", {"text": "word3"}),
)
"""Who looks, by which order, through which filters."""


def time_table(store: AnnotationStore, rounds: int) -> dict[str, object]:
    """Time one page at the head, in the middle and at the end of what is found, with a vote before each.

    Args:
        store: filled; another rater's votes are added to it.
        rounds: how often each look is taken.

    Returns:
        `table_p50_ms, table_p95_ms, table_max_ms`; `table_p95_cpu_ms` of processor time, for what another program on
        the machine cannot slow down; the slowest look by its median (`table_slowest`).
    """
    spent: list[float] = []
    busy: list[float] = []
    by_look: dict[str, list[float]] = {}
    clip_id = 0
    find_clips(store, CHIEF)
    for _ in range(rounds):
        for person, order, filters in LOOKS:
            for part in (0.0, 0.5, 1.0):
                clip_id += 1
                store.add_correction(clip_id, NewVote("passer-by", "correct", label="fear", comment="word3"))
                start, start_cpu = time.perf_counter(), time.thread_time()
                found = find_clips(store, person, ClipFilter(**filters), order=order)  # type: ignore[arg-type]
                first = int(part * max(0, len(found) - PAGE))
                read_rows(store, person, found[first : first + PAGE].tolist())
                seconds = time.perf_counter() - start
                busy.append(time.thread_time() - start_cpu)
                spent.append(seconds)
                by_look.setdefault(f"{order} {dict(filters)}", []).append(seconds)
    medians = {look: percentile_ms(values, 50) for look, values in by_look.items()}
    slowest = max(medians, key=lambda look: medians[look])
    return {
        "table_p50_ms": percentile_ms(spent, 50),
        "table_p95_ms": percentile_ms(spent, 95),
        "table_max_ms": percentile_ms(spent, 100),
        "table_p95_cpu_ms": percentile_ms(busy, 95),
        "table_pages": len(spent),
        "table_slowest": {slowest: medians[slowest]},
    }
