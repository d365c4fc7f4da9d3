"""Cards of the review tab: player, words, the model's prediction. Knows no component."""

from collections.abc import Mapping, Sequence
from typing import cast

import soundfile

from annotations.labels.label_set import DEFAULT, LabelSet
from annotations.store.records import Prediction, ReviewItem
from ser.fusion.remarks import NO_WORDS
from ser.types import Segment
from ser.wording import counted
from ui.parts.palette import NO_TEXTS, Texts
from ui.parts.player import silent_player
from ui.parts.presentation import (
    Scores,
    as_written,
    bars,
    headline,
    legend,
    notes_list,
    ratings_line,
    words_html,
)

EMPTY_QUEUE = """
<div class="empty-queue"><h3>No clip is waiting</h3>
<p>You have labelled every stored clip, or others are labelling the last ones.</p>
"""

EMPTY_STORE = """
<div class="empty-queue"><h3>No clip is waiting</h3>
<p>Nothing is stored here yet.</p>
"""

NEW_CLIPS = """
<p>New clips come in three ways:</p>
<ul><li>record one under <em>Recognize</em>, and save it;</li>
<li>a maintainer adds recordings, a zip archive or a table under <em>Manage</em>, <em>Add clips</em>;</li>
<li>a program sends one: <code>/correct</code> of the API.</li></ul>
<p>This page checks again by itself.</p></div>
"""

NOTHING_FITS = """
<div class="empty-queue"><h3>No more clips match these filters</h3>
<p><button type="button" class="clear-filters">Clear filters</button></p></div>
"""

HIDDEN = '<p class="quiet">The model answer is hidden until you vote.</p>'


def empty_queue(*, filtered: bool, stored: bool) -> str:
    """Explain an empty queue, and what to do.

    Args:
        filtered: whether filters hold.
        stored: whether there is any clip at all.
    """
    if filtered:
        return NOTHING_FITS
    return (EMPTY_QUEUE if stored else EMPTY_STORE) + NEW_CLIPS


def card(item: ReviewItem) -> str:
    """A clip as a rater meets it, without the model's answer, which `answer` draws."""
    clip = item.clip
    if not item.audio_path.is_file():
        return _broken(clip.id, "missing", "Its file is not where the store left it.")
    try:
        drawn = silent_player(item.audio_path, clip.duration, f"Clip {clip.id}")
    except (soundfile.LibsndfileError, OSError):
        return _broken(clip.id, "damaged", "Its file cannot be read.")
    others = f" · {counted(item.raters, 'vote')}" if item.raters else " · no votes yet"
    speaker = f" · {as_written(clip.speaker)}" if clip.speaker else ""
    return (
        f'<div class="review-clip" data-clip="{clip.id}"><p class="clip-line">Clip {clip.id} · '
        f"{as_written(clip.source)}{speaker}{others}</p>"
        + drawn
        + _words(item.prediction)
        + f'<div class="model-answer hidden-answer">{HIDDEN}</div></div>'
    )


def _broken(clip_id: int, state: str, why: str) -> str:
    return (
        f'<div class="review-clip" data-clip="{clip_id}"><h3>The recording of clip {clip_id} is {state}</h3>'
        f"<p>{why} Skip it (S), and run <code>python -m annotations check</code> on the server.</p></div>"
    )


def answer(prediction: Prediction | None, labels: LabelSet = DEFAULT, texts: Texts = NO_TEXTS) -> str:
    """Draw the model's prediction for a clip, mapped to the labels of the store; `texts` are names to show."""
    if prediction is None:
        return '<p class="quiet">No model has analysed this clip yet.</p>'
    scores = labels.prediction(prediction).scores
    fused = cast(Scores, scores["fused"])
    acoustic = scores.get("acoustic") or fused
    # Words that had no share in the answer are not drawn as if they had.
    text = scores.get("text") if prediction.details.get("text_weight", 1.0) else None
    unsure = cast(str | None, prediction.details.get("unsure"))
    weight = cast(float, prediction.details.get("text_weight", 0.0))
    return (
        headline(fused, acoustic, text, unsure=unsure, neutral=labels.meaning("neutral"), texts=texts)
        + bars(fused, acoustic, text, texts or labels.texts(""))
        + legend(text is not None, weight)
        + ratings_line(_ratings(prediction))
        + notes_list(_why_words_do_not_count(prediction) if text is None else [])
    )


def _ratings(prediction: Prediction) -> dict[str, tuple[float, float]]:
    found = cast(Mapping[str, Mapping[str, float]], prediction.details.get("ratings") or {})
    return {name: (given["value"], given["concordance"]) for name, given in found.items()}


def _why_words_do_not_count(prediction: Prediction) -> list[str]:
    """The note of the answer on words that were left out, if it has one."""
    notes = cast(Sequence[str], prediction.details.get("notes") or ())
    return [note for note in notes if "words" in note and note != NO_WORDS]


def _words(prediction: Prediction | None) -> str:
    if prediction is None or not (prediction.transcript or "").strip():
        said = "No transcript." if prediction is None or prediction.transcript is None else "No words were recognised."
        return f'<p class="transcript quiet">{said}</p>'
    return f'<p class="transcript">{words_html(prediction.transcript or "", _segments(prediction))}</p>'


def _segments(prediction: Prediction) -> list[Segment]:
    transcript = prediction.details.get("transcript")
    if not isinstance(transcript, Mapping):
        return []
    rows = cast(Sequence[Mapping[str, object]], transcript.get("segments") or [])
    return [Segment(**cast(dict, row)) for row in rows]
