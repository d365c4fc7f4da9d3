"""Differences between two versions: recall by label and speaker, and the clips whose prediction changed.

Both answer the same clips, none of which any run trained on. Knows the recogniser, not the models behind it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from annotations.errors import StoreError
from annotations.labels.label_set import LabelSet
from annotations.labels.stored import label_set
from annotations.learning.promotion.comparison import recall_of
from annotations.learning.promotion.decision import figures_of
from annotations.learning.promotion.holdout_store import held_out_clips, read_splits, read_trained
from annotations.learning.versions.active import ActiveModel
from annotations.raters.votes import gold_labels, hard_label, training_examples
from annotations.store import AnnotationStore
from annotations.store.records import Clip, ModelVersion
from annotations.store.rows import CLIPS, to_clip
from ser.audio.decoding import decode_file
from ser.audio.vad import trim_to_speech
from ser.errors import SerError
from ser.types import Audio, EmotionScores

LIMIT = 200
"""Clips that both answer; some seconds on two cores."""

AT_ONCE = 16
"""Clips that are answered in one go, between two reports of progress."""

OnStep = Callable[[int, int], None]
"""Told of the parts that are done, and of how many; an error that it raises ends the comparison."""


@dataclass(frozen=True)
class ChangedClip:
    """A clip to which the two versions say different things.

    Attributes:
        clip_id: in the store.
        before: what the first version says.
        after: what the second says.
        truth: what its raters say; None if nobody has labelled it.
        speaker: who speaks, or None if unknown.
        path: of the recording, absolute.
    """

    clip_id: int
    before: str
    after: str
    truth: str | None
    speaker: str | None
    path: str

    @property
    def change(self) -> str:
        """`better`, `worse`, `other` (both wrong) or `unjudged`."""
        if self.truth is None:
            return "unjudged"
        return "better" if self.after == self.truth else "worse" if self.before == self.truth else "other"


@dataclass(frozen=True)
class VersionDiff:
    """Differences between two versions.

    Attributes:
        first: name of the one.
        second: name of the other.
        clips: number that both answered.
        judged: number of them with a label of raters.
        held_out: number of them that a run held out.
        trained: number of them that a run trained on, which flatters it.
        before: figures of the first on clips with such a label: `clips`, `uar`, `war`, `recall`, `support`.
        after: the same of the second.
        speakers: {speaker: {clips, before, after}}, the share of right answers on clips with such a label.
        changed: clips with another answer, those that got worse first.
        failed: (clip, reason) of clips that could not be analysed.
        labels: of the rows and columns of the two that follow.
        confusion_before: clips of each label (row) by the answer of the first (column).
        confusion_after: the same of the second.
    """

    first: str
    second: str
    clips: int
    judged: int
    held_out: int
    trained: int
    before: dict[str, object]
    after: dict[str, object]
    speakers: dict[str, dict[str, float]]
    changed: tuple[ChangedClip, ...]
    failed: tuple[tuple[int, str], ...] = ()
    labels: tuple[str, ...] = ()
    confusion_before: tuple[tuple[int, ...], ...] = ()
    confusion_after: tuple[tuple[int, ...], ...] = ()

    def as_dict(self) -> dict[str, object]:
        """Convert to JSON values."""
        changed = [{**vars(clip), "change": clip.change} for clip in self.changed]
        failed = [{"clip_id": clip_id, "reason": reason} for clip_id, reason in self.failed]
        return {**vars(self), "changed": changed, "failed": failed}

    def lines(self) -> list[str]:
        """Describe it for people."""
        lines = [
            f"{self.first} -> {self.second}: answers that differ: {len(self.changed)} of {self.clips}; "
            f"clips with votes: {self.judged}, held out: {self.held_out}, trained on: {self.trained}."
        ]
        if self.judged:
            lines.append(f"UAR {self.before['uar']} -> {self.after['uar']}")
            recall = (self.before["recall"], self.after["recall"])
            for label in recall[0]:  # type: ignore[attr-defined]
                lines.append(f"  {label:<10} {recall[0][label]:.2f} -> {recall[1][label]:.2f}")  # type: ignore[index]
            lines += [
                f"  {name}: {found['before']:.2f} -> {found['after']:.2f} ({found['clips']:g} "
                f"clip{'' if found['clips'] == 1 else 's'})"
                for name, found in self.speakers.items()
            ]
        lines += [
            f"  clip {clip.clip_id}: {clip.before} -> {clip.after} (raters: {clip.truth or 'none'}) {clip.path}"
            for clip in self.changed
        ]
        return lines


def diff_versions(
    active: ActiveModel,
    first: ModelVersion,
    second: ModelVersion,
    *,
    limit: int = LIMIT,
    on_step: OnStep = lambda done, total: None,
) -> VersionDiff:
    """Let two versions of one target answer clips, if possible clips that no run trained on.

    Args:
        active: loads the versions; what is in use stays in use.
        first: the one that comes before.
        second: the one that comes after.
        limit: how many clips at most.
        on_step: told of the progress, before anything is read for the first time.

    Raises:
        StoreError: if they are of different targets, or there is no clip to ask.
        ModelUnavailableError: if one cannot be loaded.
    """
    if first.target != second.target:
        raise StoreError(
            f"{first.name} is a version of the {first.target} model and {second.name} of the {second.target} model; "
            "choose two of one."
        )
    store = active.store
    clips = clips_to_ask(store, limit)
    steps = _Steps(3 * len(clips), on_step)
    audios, failed = _decode(active, clips, steps)
    clips = [clip for clip in clips if clip.id in audios]
    if not clips:
        raise StoreError("There is no readable clip to compare them on. Store a few first.")
    decoded = [audios[clip.id] for clip in clips]
    labels = label_set(store)
    before, after = (_answers(active, version, decoded, labels, steps) for version in (first, second))
    # A version may have been trained on none of the labels of an own set.
    names = labels.names if labels.is_default else (*labels.names, "")
    truths = {e.clip.id: hard_label(e.soft_label) for e in training_examples(store)} | gold_labels(store)
    rows = [
        ChangedClip(clip.id, old, new, truths.get(clip.id), clip.speaker, str(store.clip_path(clip)))
        for clip, old, new in zip(clips, before, after, strict=True)
    ]
    labelled = [row for row in rows if row.truth is not None]
    truth = [row.truth or "" for row in labelled]
    held_out, trained = set(held_out_clips(store)), read_trained(store)
    order = ("worse", "better", "other", "unjudged")
    changed = sorted((row for row in rows if row.before != row.after), key=lambda row: order.index(row.change))
    return VersionDiff(
        first=first.name,
        second=second.name,
        clips=len(rows),
        judged=len(labelled),
        held_out=sum(row.clip_id in held_out for row in rows),
        trained=sum(row.clip_id in trained for row in rows),
        before=figures_of(truth, [row.before for row in labelled], labels=names) if labelled else {},
        after=figures_of(truth, [row.after for row in labelled], labels=names) if labelled else {},
        speakers=_by_speaker(labelled, names),
        changed=tuple(changed),
        failed=tuple(failed),
        labels=labels.names,
        confusion_before=_confusion(truth, [row.before for row in labelled], labels.names),
        confusion_after=_confusion(truth, [row.after for row in labelled], labels.names),
    )


def clips_to_ask(store: AnnotationStore, limit: int) -> list[Clip]:
    """Clips that no run trained on: those that some run held out, newest first, and then the newest others.

    Where every clip was trained on, as heads do, those are given, newest first: `VersionDiff.trained` counts them.
    """
    trained, known = read_trained(store), {*read_splits(store), *read_trained(store)}
    held_out = held_out_clips(store)[:limit]
    with store.reading() as connection:
        rows = connection.execute(
            "SELECT id FROM clips WHERE id NOT IN (SELECT clip_id FROM missing_media) ORDER BY id DESC LIMIT ?",
            (limit + len(known),),
        )
        there = [row["id"] for row in rows]
        others = [clip_id for clip_id in there if clip_id not in known]
        wanted = ([*held_out, *others] or [clip_id for clip_id in there if clip_id in trained])[:limit]
        marks = ",".join("?" * len(wanted))
        found = {row["id"]: to_clip(row) for row in connection.execute(f"{CLIPS} WHERE clips.id IN ({marks})", wanted)}
    return [found[clip_id] for clip_id in wanted if clip_id in found]


class _Steps:
    """Counts what is done of a comparison: every clip is read once and answered twice."""

    def __init__(self, total: int, on_step: OnStep) -> None:
        self._done, self._total, self._on_step = 0, total, on_step
        on_step(0, total)

    def add(self, count: int) -> None:
        self._done += count
        self._on_step(self._done, self._total)


def _decode(
    active: ActiveModel, clips: Sequence[Clip], steps: _Steps
) -> tuple[dict[int, Audio], list[tuple[int, str]]]:
    audios: dict[int, Audio] = {}
    failed = []
    for clip in clips:
        steps.add(1)
        try:
            audio = decode_file(active.store.clip_path(clip))
            if not active.recognizer.detector.detect(audio):
                failed.append((clip.id, "no speech in it"))
            else:
                audios[clip.id] = audio
        except SerError as error:
            failed.append((clip.id, str(error)))
    return audios, failed


def _answers(
    active: ActiveModel, version: ModelVersion, audios: Sequence[Audio], labels: LabelSet, steps: _Steps
) -> list[str]:
    recognizer = active.recognizer_of(version)
    answers: list[EmotionScores] = []
    for start in range(0, len(audios), AT_ONCE):
        part = audios[start : start + AT_ONCE]
        if version.target == "acoustic":
            spoken = [trim_to_speech(audio, recognizer.detector.detect(audio)) for audio in part]
            answers += recognizer.acoustic.classify_batch(spoken)
        else:
            answers += [recognizer.recognize(audio).fused for audio in part]
        steps.add(len(part))
    return [labels.most_probable(scores.as_dict()) or "" for scores in answers]


def _confusion(truth: Sequence[str], answers: Sequence[str], labels: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    counts = Counter(zip(truth, answers, strict=True))
    return tuple(tuple(counts[row, column] for column in labels) for row in labels)


def _by_speaker(labelled: Sequence[ChangedClip], names: Sequence[str]) -> dict[str, dict[str, float]]:
    groups: dict[str, list[ChangedClip]] = defaultdict(list)
    for row in labelled:
        groups[row.speaker or "unknown"].append(row)
    return {
        speaker: {
            "clips": len(rows),
            "before": round(sum(row.before == row.truth for row in rows) / len(rows), 4),
            "after": round(sum(row.after == row.truth for row in rows) / len(rows), 4),
            "uar_before": round(
                recall_of([row.truth or "" for row in rows], [row.before for row in rows], names)[0], 4
            ),
            "uar_after": round(recall_of([row.truth or "" for row in rows], [row.after for row in rows], names)[0], 4),
        }
        for speaker, rows in sorted(groups.items())
    }
