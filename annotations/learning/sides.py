"""Which side of the comparison each clip is on, for good: what was learnt from once never judges, nor the reverse.

Knows the tables; how feedback is divided is in `annotations.learning.holdout`, which is pure.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from annotations.gold import gold_labels
from annotations.learning.holdout import HELD_OUT, TRAINING, Holdout, divide, missing
from annotations.records import FeedbackExample
from annotations.rows import CLIPS, to_clip
from annotations.store import AnnotationStore


def hold_out(
    store: AnnotationStore,
    examples: Sequence[FeedbackExample],
    target: str = "acoustic",
    *,
    history: AnnotationStore | None = None,
) -> Holdout:
    """Divide feedback as earlier runs have it, gold clips apart.

    Two calls on the same data give the same, whether or not the first was recorded in between.

    Args:
        store: to read, or a snapshot of it.
        examples: clips with the raters' votes, in order of their ids.
        target: which model's earlier comparisons count as looks.
        history: where earlier runs are recorded, if not in `store`: a snapshot does not know of runs that have begun
            since it was taken.

    Returns:
        Both sides, the gold clips that nothing was learnt from, and how often the held-out clips have judged before.

    Raises:
        TrainingDataError: where there is too little, with the numbers that are needed.
    """
    history = history or store
    gold, sides = gold_labels(store), read_sides(history)
    holdout = divide([e for e in examples if e.clip.id not in gold], sides)
    looks = read_looks(history, target)
    judged = [looks.get(e.clip.id, 0) for e in holdout.held_out]
    return replace(holdout, gold=_gold_examples(store, gold, sides), looks=sum(judged) / len(judged))


def missing_feedback(store: AnnotationStore, examples: Sequence[FeedbackExample]) -> str | None:
    """What is still missing for a retraining, as a sentence; None where there is enough."""
    gold = gold_labels(store)
    return missing([e for e in examples if e.clip.id not in gold], read_sides(store))


def record_holdout(store: AnnotationStore, run_id: int, holdout: Holdout) -> None:
    """Keep the sides that a run gives its clips; the same again changes nothing.

    Args:
        store: to write to.
        run_id: of the run.
        holdout: what `hold_out` gave.
    """
    parts = ((TRAINING, holdout.training), (HELD_OUT, holdout.held_out), ("reserved", holdout.reserved))
    with store.database.writing() as connection:
        # A clip may have been erased since; it has no side any more.
        connection.executemany(
            "INSERT OR IGNORE INTO run_clips (training_run_id, clip_id, side) SELECT ?, id, ? FROM clips WHERE id = ?",
            [(run_id, side, e.clip.id) for side, part in parts for e in part],
        )


def read_sides(store: AnnotationStore) -> dict[int, str]:
    """{clip: side} of all clips that a run ever had; one that any run learnt from is on that side."""
    with store.reading() as connection:
        rows = connection.execute("SELECT clip_id, max(side = 'training') AS learnt FROM run_clips GROUP BY clip_id")
        return {row["clip_id"]: TRAINING if row["learnt"] else HELD_OUT for row in rows}


def read_looks(store: AnnotationStore, target: str = "acoustic") -> dict[int, int]:
    """{clip: comparisons of that target which it has judged}: decided runs, and versions from elsewhere."""
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT clip_id, count(*) AS looks FROM run_clips JOIN training_runs ON training_runs.id = training_run_id "
            "WHERE side = 'held out' AND status IN ('promoted', 'refused') AND target = ? GROUP BY clip_id",
            (target,),
        )
        looks = Counter({row["clip_id"]: row["looks"] for row in rows})
        pulled = connection.execute(
            "SELECT value AS clip_id FROM model_versions, json_each(metrics, '$.comparison.judged') WHERE target = ?",
            (target,),
        )
        looks.update(row["clip_id"] for row in pulled)
        return dict(looks)


def held_out_clips(store: AnnotationStore) -> list[int]:
    """Clips that no run ever learnt from and some run held out, newest first."""
    return sorted((clip for clip, side in read_sides(store).items() if side == HELD_OUT), reverse=True)


def _gold_examples(store: AnnotationStore, gold: dict[int, str], sides: dict[int, str]) -> tuple[FeedbackExample, ...]:
    with store.reading() as connection:
        rows = connection.execute(
            f"{CLIPS} WHERE clips.id IN (SELECT clip_id FROM gold_marks) "
            "AND clips.id NOT IN (SELECT clip_id FROM missing_media) ORDER BY clips.id"
        )
        clips = [to_clip(row) for row in rows]
    return tuple(
        FeedbackExample(clip, {gold[clip.id]: 1.0}, 0, clip.speaker or clip.session or clip.sha256, ())
        for clip in clips
        if clip.id in gold and "training" in clip.consent and sides.get(clip.id) != TRAINING
    )
