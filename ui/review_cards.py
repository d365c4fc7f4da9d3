"""What the review tab shows of a clip: player, words, the model's answer, progress. Knows no component."""

from collections.abc import Mapping, Sequence
from typing import cast

from annotations.records import Prediction, ReviewItem
from ser.types import Segment
from ui.player import player
from ui.presentation import Scores, bars, escape, headline, words_html

PACE_VOTES = 20
"""Votes that the pace is measured over."""

PAUSE = 60.0
"""Seconds; a longer gap between two votes is a pause and counts as this much."""

EMPTY_QUEUE = """
<div class="empty-queue"><h3>Nothing waits for you</h3>
<p>There is no stored clip that you have not judged. New ones come in three ways:</p>
<ul><li>record and save one under <em>Recognize</em>;</li>
<li>import a folder, with or without a <code>metadata.csv</code>:<br>
<code>python -m annotations --data-dir DIR import FOLDER --consent research,training --recognize</code></li>
<li>send one over the API: <code>/correct</code>.</li></ul>
<p>This page looks again whenever you come back to it.</p></div>
"""


def card(item: ReviewItem | None, blind: bool) -> str:
    """A clip as a rater meets it; without one, how clips come in.

    Args:
        item: the clip.
        blind: leaves the model's answer out, so that it cannot sway anybody.
    """
    if item is None:
        return EMPTY_QUEUE
    clip = item.clip
    if not item.audio_path.is_file():
        return (
            f'<div class="empty-queue"><h3>The recording of clip {clip.id} is missing</h3><p>Its file is not where the '
            "store left it. Skip it (S), and run <code>python -m annotations check</code> on the server.</p></div>"
        )
    others = f" · judged by {item.raters}" if item.raters else " · first to judge"
    speaker = f" · {escape(clip.speaker)}" if clip.speaker else ""
    return (
        f'<div class="review-clip" data-clip="{clip.id}"><p class="clip-line">Clip {clip.id} · {escape(clip.source)}'
        f"{speaker}{others}</p>"
        + player(item.audio_path, clip.duration, f"Clip {clip.id}")
        + _words(item.prediction)
        + _answer(item.prediction, blind)
        + "</div>"
    )


def progress(done: int, waiting: int, stamps: Sequence[float]) -> str:
    """How far the rater is, and how quickly.

    >>> progress(1, 2, [])
    '<p class="progress-line"><strong>1</strong> of 3</p>'
    """
    speed = pace(stamps)
    rate = f" · <strong>{round(speed)}</strong> clips/h" if speed else ""
    return f'<p class="progress-line"><strong>{done}</strong> of {done + waiting}{rate}</p>'


def pace(stamps: Sequence[float]) -> float | None:
    """Votes an hour over the last votes; pauses are shortened; None before there are two.

    Args:
        stamps: times of votes in seconds, in order.

    >>> pace([0, 10, 20]), pace([0, 3600, 3610])
    (360.0, 102.85714285714286)
    """
    gaps = [min(PAUSE, later - earlier) for earlier, later in zip(stamps, stamps[1:], strict=False)]
    total = sum(gaps)
    return 3600 * len(gaps) / total if total > 0 else None


def status(message: str, kind: str) -> str:
    """A sentence under the buttons; `kind` is good or gentle."""
    return f'<p class="status {kind}" role="status">{escape(message)}</p>'


def _words(prediction: Prediction | None) -> str:
    if prediction is None or not (prediction.transcript or "").strip():
        return '<p class="transcript quiet">No transcript.</p>'
    return f'<p class="transcript">{words_html(prediction.transcript or "", _segments(prediction))}</p>'


def _segments(prediction: Prediction) -> list[Segment]:
    transcript = prediction.details.get("transcript")
    if not isinstance(transcript, Mapping):
        return []
    rows = cast(Sequence[Mapping[str, object]], transcript.get("segments") or [])
    return [Segment(**cast(dict, row)) for row in rows]


def _answer(prediction: Prediction | None, blind: bool) -> str:
    if blind:
        return _no_answer("The model’s answer is hidden while you judge.")
    if prediction is None:
        return _no_answer("No model has heard this clip yet.")
    scores = prediction.scores
    fused = cast(Scores, scores["fused"])
    acoustic = scores.get("acoustic") or fused
    return (
        '<div class="model-answer">'
        + headline(fused, acoustic, scores.get("text"))
        + bars(fused, acoustic, scores.get("text"))
        + "</div>"
    )


def _no_answer(sentence: str) -> str:
    return f'<div class="model-answer hidden-answer"><p class="quiet">{sentence}</p></div>'
