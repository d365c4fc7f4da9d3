"""The split of each clip, kept for good: training clips are never used for a comparison, nor the reverse.

Knows the tables; how feedback is divided is in `annotations.learning.promotion.holdout`, which is pure.
"""

from collections.abc import Sequence
from dataclasses import replace

from annotations.learning.promotion.holdout import HELD_OUT, OUT_OF_FOLD, TRAINING, Holdout, cross_fit, divide
from annotations.raters.votes import gold_labels
from annotations.store import AnnotationStore
from annotations.store.records import FeedbackExample
from annotations.store.rows import CLIPS, to_clip
from ser.errors import TrainingDataError


def hold_out(
    store: AnnotationStore,
    examples: Sequence[FeedbackExample],
    target: str = "acoustic",
    *,
    history: AnnotationStore | None = None,
    cross_fitted: bool = False,
) -> Holdout:
    """Divide feedback as earlier runs have it, gold clips apart; or take all of it for a comparison out of fold.

    Two calls on the same data give the same, whether or not the first was recorded in between.

    Args:
        store: to read, or a snapshot of it.
        examples: clips with the raters' votes, in order of their ids.
        target: which model's earlier comparisons count as looks.
        history: where earlier runs are recorded, if not in `store`: a snapshot does not know of runs that have begun
            since it was taken.
        cross_fitted: whether every clip is trained on and the models are compared out of fold.

    Returns:
        Both splits, the gold clips that nothing was trained on, and the mean number of earlier comparisons on the
        held-out clips.

    Raises:
        TrainingDataError: if there is too little, with the numbers that are needed.
    """
    history = history or store
    gold = gold_labels(store)
    labelled = [e for e in examples if e.clip.id not in gold]
    holdout = cross_fit(labelled) if cross_fitted else divide(labelled, read_splits(history))
    looks = read_looks(history, target)
    before = [looks.get(e.clip.id, 0) for e in holdout.held_out]
    trained = read_trained(history)
    return replace(holdout, gold=_gold_examples(store, gold, trained), looks=sum(before) / len(before))


def missing_feedback(store: AnnotationStore, examples: Sequence[FeedbackExample]) -> str | None:
    """Name what every retraining still lacks, as a sentence; None if there is enough for a classifier head."""
    gold = gold_labels(store)
    try:
        cross_fit([e for e in examples if e.clip.id not in gold])
    except TrainingDataError as error:
        return str(error)
    return None


def record_holdout(store: AnnotationStore, run_id: int, holdout: Holdout) -> None:
    """Keep the split that a run gives each of its clips; the same again changes nothing.

    Args:
        store: to write to.
        run_id: of the run.
        holdout: what `hold_out` gave.
    """
    parts = {TRAINING: holdout.training, HELD_OUT: holdout.held_out, "reserved": holdout.reserved}
    if holdout.cross_fitted:
        parts = {OUT_OF_FOLD: holdout.training}
    with store.database.writing() as connection:
        # A clip may have been erased since; it is in no split any more.
        connection.executemany(
            "INSERT OR IGNORE INTO run_clips (training_run_id, clip_id, side) SELECT ?, id, ? FROM clips WHERE id = ?",
            [(run_id, side, e.clip.id) for side, part in parts.items() for e in part],
        )


def read_splits(store: AnnotationStore) -> dict[int, str]:
    """{clip: split} of all clips that runs divided; one that any of them trained on is in that split.

    Cross-fitted runs divide nothing: see `read_trained`.
    """
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT clip_id, max(side = 'training') AS trained FROM run_clips WHERE side != ? GROUP BY clip_id",
            (OUT_OF_FOLD,),
        )
        return {row["clip_id"]: TRAINING if row["trained"] else HELD_OUT for row in rows}


def read_trained(store: AnnotationStore, run_id: int | None = None) -> set[int]:
    """Clips that any run trained on, or that one run trained on."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT DISTINCT clip_id FROM run_clips WHERE side IN (?, ?) AND training_run_id = coalesce(?, "
            "training_run_id)",
            (TRAINING, OUT_OF_FOLD, run_id),
        )
        return {row["clip_id"] for row in rows}


def read_looks(store: AnnotationStore, target: str = "acoustic") -> dict[int, int]:
    """{clip: comparisons of that target that it took part in}, those of decided runs."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT clip_id, count(*) AS looks FROM run_clips JOIN training_runs ON training_runs.id = training_run_id "
            "WHERE side IN ('held out', 'out of fold') AND status IN ('promoted', 'refused') AND target = ? "
            "GROUP BY clip_id",
            (target,),
        )
        return {row["clip_id"]: row["looks"] for row in rows}


def held_out_clips(store: AnnotationStore) -> list[int]:
    """Clips that no run ever trained on and some run held out, newest first."""
    held_out = {clip for clip, side in read_splits(store).items() if side == HELD_OUT}
    return sorted(held_out - read_trained(store), reverse=True)


def _gold_examples(store: AnnotationStore, gold: dict[int, str], trained: set[int]) -> tuple[FeedbackExample, ...]:
    with store.reading() as connection:
        rows = connection.execute(
            f"{CLIPS} WHERE clips.id IN (SELECT clip_id FROM gold_marks) "
            "AND clips.id NOT IN (SELECT clip_id FROM missing_media) ORDER BY clips.id"
        )
        clips = [to_clip(row) for row in rows]
    return tuple(
        FeedbackExample(clip, {gold[clip.id]: 1.0}, 0, clip.speaker or clip.session or clip.sha256, ())
        for clip in clips
        if clip.id in gold and "training" in clip.consent and clip.id not in trained
    )
