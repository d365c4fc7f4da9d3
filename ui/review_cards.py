"""What the review tab shows of a clip: player, words, the model's answer. Knows no component."""

from collections.abc import Mapping, Sequence
from typing import cast

from annotations.records import Prediction, ReviewItem
from ser.types import Segment
from ui.player import silent_player
from ui.presentation import Scores, bars, escape, headline, words_html

EMPTY_QUEUE = """
<div class="empty-queue"><h3>Nothing waits for you</h3>
<p>There is no stored clip that you have not judged, or others are at the last ones. New ones come in three ways:</p>
<ul><li>record and save one under <em>Recognize</em>;</li>
<li>a maintainer drops recordings, a folder as zip or a <code>metadata.csv</code> into <em>Add clips</em> below,
or runs<br>
<code>python -m annotations --data-dir DIR import FOLDER --consent research,training --recognize</code>;</li>
<li>send one over the API: <code>/correct</code>.</li></ul>
<p>This page looks again by itself.</p></div>
"""

NOTHING_FITS = """
<div class="empty-queue"><h3>No clip fits the filters</h3>
<p>You have judged all that fit, or none does.</p>
<p><button type="button" class="clear-filters">Clear filters</button></p></div>
"""

HIDDEN = '<p class="quiet">The model’s answer is hidden while you judge.</p>'


def empty_queue(*, filtered: bool) -> str:
    """What stands in the clip's place where there is none: why, and what to do."""
    return NOTHING_FITS if filtered else EMPTY_QUEUE


def card(item: ReviewItem) -> str:
    """A clip as a rater meets it, without the model's answer, which `answer` draws."""
    clip = item.clip
    if not item.audio_path.is_file():
        return (
            f'<div class="review-clip" data-clip="{clip.id}"><h3>The recording of clip {clip.id} is missing</h3>'
            "<p>Its file is not where the store left it. Skip it (S), and run <code>python -m annotations check</code> "
            "on the server.</p></div>"
        )
    others = f" · judged by {item.raters}" if item.raters else " · first to judge"
    speaker = f" · {escape(clip.speaker)}" if clip.speaker else ""
    return (
        f'<div class="review-clip" data-clip="{clip.id}"><p class="clip-line">Clip {clip.id} · {escape(clip.source)}'
        f"{speaker}{others}</p>"
        + silent_player(item.audio_path, clip.duration, f"Clip {clip.id}")
        + _words(item.prediction)
        + f'<div class="model-answer hidden-answer">{HIDDEN}</div></div>'
    )


def answer(prediction: Prediction | None) -> str:
    """What the model says of a clip."""
    if prediction is None:
        return '<p class="quiet">No model has heard this clip yet.</p>'
    scores = prediction.scores
    fused = cast(Scores, scores["fused"])
    acoustic = scores.get("acoustic") or fused
    return headline(fused, acoustic, scores.get("text")) + bars(fused, acoustic, scores.get("text"))


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
