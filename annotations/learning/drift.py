"""Drift: has what comes in changed since the current model came into use? Correction rate, label mix, embeddings.

Clips of one speaker or session resemble each other, so speakers and sessions are exchanged between the periods, not
clips: a permutation test on groups, at one error level for the three tests together. Looked at once for every `BLOCK`
new clips or votes, not whenever somebody looks, so that looking often does not raise the number of false alarms.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from annotations.store import AnnotationStore
from annotations.store.embeddings import read_embeddings

Numbers = npt.NDArray[np.float64]

BLOCK = 100
"""Clips of the newest period; the period is over when so many have come."""

BLOCKS = 10
"""Most blocks before it that it is compared with."""

LEVEL = 0.01
"""Probability of at least one false alarm for a block in which nothing has changed."""

PERMUTATIONS = 1999
LEAST_GROUPS = 5
"""Speakers or sessions that a period needs: with fewer there are too few ways to exchange them."""

COMPONENTS = 10
"""Principal components of the embeddings that are compared, each in units of its own spread."""

KINDS = {
    "corrections": "people correct the answers more or less often than before",
    "labels": "the mix of the answers' labels has changed",
    "embeddings": "the recordings sound unlike those before (voices, microphones or rooms)",
}

# Newest clips that the current version has answered, with the answer and the share of votes that changed it.
CLIPS = """
    SELECT clips.id AS id, coalesce('s ' || speaker, 'o ' || session, 'c ' || clips.id) AS voice, newest.label AS label,
        (SELECT avg(verdict = 'correct') FROM corrections
         WHERE corrections.clip_id = clips.id AND corrections.prediction_id = newest.id
             AND verdict IN ('accept', 'correct')
             AND corrections.id NOT IN (SELECT correction_id FROM correction_retractions)) AS corrected
    FROM clips JOIN predictions AS newest ON newest.id = (
        SELECT max(id) FROM predictions WHERE clip_id = clips.id AND model_version_id = ?
    )
    ORDER BY clips.id DESC LIMIT ?
"""


@dataclass(frozen=True)
class Drift:
    """Outcome of the comparison of the newest period with those before it.

    Attributes:
        clips: of the newest period; 0 if nothing was compared.
        before: clips of the periods before.
        p_values: {kind: probability of as large a difference if nothing has changed}; kinds without enough data lack.
        values: {kind: value in the newest period, before}; of the embeddings the distance and what is usual.
    """

    clips: int = 0
    before: int = 0
    p_values: dict[str, float] = field(default_factory=dict)
    values: dict[str, tuple[float, float]] = field(default_factory=dict)

    def flags(self) -> dict[str, bool]:
        """{kind: whether it has drifted}, by Holm's method at `LEVEL` for all kinds together.

        >>> Drift(p_values={"corrections": 0.0005, "labels": 0.004, "embeddings": 0.5}).flags()
        {'corrections': True, 'labels': True, 'embeddings': False}
        """
        flags, still = dict.fromkeys(KINDS, False), True
        ordered = sorted(self.p_values.items(), key=lambda pair: pair[1])
        for place, (kind, p_value) in enumerate(ordered):
            still = still and p_value <= LEVEL / (len(ordered) - place)
            flags[kind] = still
        return flags

    def sentences(self) -> list[str]:
        """Describe what has drifted, for people; empty if nothing has."""
        said = []
        for kind, found in self.flags().items():
            if found:
                now, before = self.values[kind]
                figures = f" ({before:.0%} to {now:.0%})" if kind == "corrections" else ""
                said.append(f"{KINDS[kind][0].upper()}{KINDS[kind][1:]}{figures}.")
        return said


def read_drift(store: AnnotationStore) -> Drift:
    """Compare the last full block of clips that the current model has answered with those before it."""
    version = store.active_version().id
    (row,) = store.fetch("SELECT count(DISTINCT clip_id) AS n FROM predictions WHERE model_version_id = ?", (version,))
    (votes,) = store.fetch("SELECT count(*) AS n FROM corrections")
    blocks = (row["n"] // BLOCK, votes["n"] // BLOCK)
    return _read(store, version, blocks) if blocks[0] >= 2 else Drift()


@lru_cache(maxsize=8)
def _read(store: AnnotationStore, version: int, blocks: tuple[int, int]) -> Drift:
    """Read and compare; kept until the next block is full, so that a look at the page costs nothing."""
    rows = store.fetch(CLIPS, (version, BLOCK * (BLOCKS + 1)))
    with store.reading() as connection:
        vectors = read_embeddings(connection, [row["id"] for row in rows])
    recent = np.arange(len(rows)) < BLOCK
    voices = [row["voice"] for row in rows]
    corrected = np.array([np.nan if row["corrected"] is None else row["corrected"] for row in rows], dtype=float)
    labels = sorted({row["label"] for row in rows})
    shares = np.array([[row["label"] == label for label in labels] for row in rows], dtype=float)
    kept = np.array([row["id"] in vectors for row in rows])
    embedded = np.array([vectors[row["id"]] for row in rows if row["id"] in vectors], dtype=float)
    return compare(recent, voices, corrected, shares, (kept, embedded))


def compare(
    recent: npt.NDArray[np.bool_],
    voices: list[str],
    corrected: Numbers,
    shares: Numbers,
    embeddings: tuple[npt.NDArray[np.bool_], Numbers],
    *,
    seed: int = 0,
) -> Drift:
    """Compare the clips of two periods.

    Args:
        recent: of each clip, whether it is of the newest period; shape (clips,).
        voices: speaker or session of each clip.
        corrected: share of its votes that changed the answer, NaN without a vote; shape (clips,).
        shares: its answer's label as a row of zeros with a one; shape (clips, labels).
        embeddings: which clips have one, and those; shape (clips with one, size).
        seed: of the permutations.
    """
    rng = np.random.default_rng(seed)
    p_values, values = {}, {}
    voted = ~np.isnan(corrected)
    kept, vectors = embeddings
    parts: dict[str, tuple[npt.NDArray[np.bool_], Numbers, Callable[[Numbers], Numbers]]] = {
        "corrections": (voted, corrected[voted][:, None], lambda gap: np.abs(gap[:, 0])),
        "labels": (np.ones(len(recent), dtype=bool), shares, lambda gap: np.abs(gap).sum(axis=1) / 2),
        "embeddings": (kept, _components(vectors), lambda gap: np.square(gap).sum(axis=1)),
    }
    for kind, (chosen, numbers, size) in parts.items():
        groups = [voice for voice, one in zip(voices, chosen, strict=True) if one]
        found = _test(recent[chosen], groups, numbers, size, rng)
        if found:
            p_values[kind], values[kind] = found
    return Drift(int(recent.sum()), int((~recent).sum()), p_values, values)


def _test(
    recent: npt.NDArray[np.bool_],
    groups: list[str],
    numbers: Numbers,
    size: Callable[[Numbers], Numbers],
    rng: np.random.Generator,
) -> tuple[float, tuple[float, float]] | None:
    """Permutation test on the difference of two periods' means; None if too few groups are in one of them.

    A group that is in both periods counts for the one in which more of its clips lie.
    """
    _, which = np.unique(groups, return_inverse=True)
    sizes = np.bincount(which).astype(float)
    sums = np.stack([np.bincount(which, weights=column) for column in numbers.T], axis=1) if len(which) else numbers
    late = np.bincount(which, weights=recent) > sizes / 2
    if min(late.sum(), (~late).sum()) < LEAST_GROUPS:
        return None
    draws = np.stack([late, *(rng.permutation(late) for _ in range(PERMUTATIONS))]).astype(float)
    new = draws @ sums / (draws @ sizes)[:, None]
    old = (1 - draws) @ sums / ((1 - draws) @ sizes)[:, None]
    gaps = size(new - old)
    # The largest differences by chance count as large as the one that was seen, up to rounding.
    p_value = float(np.mean(gaps >= gaps[0] - 1e-12))
    return p_value, (float(new[0].mean()), float(old[0].mean()))


def _components(vectors: Numbers) -> Numbers:
    """First principal components, each of spread 1; shape (clips, at most `COMPONENTS`)."""
    if len(vectors) < 2:
        return np.zeros((len(vectors), 1))
    centred = vectors - vectors.mean(axis=0)
    left, strengths, _ = np.linalg.svd(centred, full_matrices=False)
    count = min(COMPONENTS, int((strengths > 1e-9 * strengths[0]).sum()) or 1)
    return np.asarray(left[:, :count] * np.sqrt(len(vectors)))
