"""Answers as HTML: label, bars, transcript, notes. Pure; knows no component of the page.

Everything that comes from a person or a model is escaped here, once.
"""

import html
from collections.abc import Mapping, Sequence

from ser.labels import EMOTIONS
from ser.types import Recognition, Segment
from ui.parts.palette import icon

UNSURE_WORD = 0.6
"""Words below this confidence are greyed. Source: measured on read speech with the embedded transcriber: words that
were right had a mean confidence of 0.75, wrong ones 0.49."""

SURE_WORDS = 0.4
"""Least top probability of the words before they are said to disagree with the voice."""

Scores = Mapping[str, float]

NO_BREAK_SPACE = "\u00a0"


def escape(text: object) -> str:
    """Text for HTML, template signs included, so that nothing a person wrote can act on the page.

    >>> escape("<b>${x}{{y}}")
    '&lt;b&gt;&#36;&#123;x&#125;&#123;&#123;y&#125;&#125;'
    """
    escaped = html.escape(str(text))
    return escaped.replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;")


def percent(probability: float) -> str:
    r"""A probability as whole percent.

    >>> percent(0.714)
    '71\xa0%'
    """
    return f"{round(100 * probability)}{NO_BREAK_SPACE}%"


def counted(count: int, noun: str, *, more: bool = False) -> str:
    """A count with its noun.

    >>> counted(1, "speaker"), counted(1200, "vote"), counted(2, "clip", more=True)
    ('1 speaker', '1,200 votes', '2 more clips')
    """
    return f"{count:,} {'more ' if more else ''}{noun if count == 1 else noun + 's'}"


def clock(seconds: float, *, tenths: bool = True) -> str:
    """A duration as minutes and seconds, with tenths below a minute if wanted.

    >>> clock(3.24), clock(75), clock(48, tenths=False)
    ('0:03.2', '1:15', '0:48')
    """
    if tenths and seconds < 59.95:
        return f"0:{seconds:04.1f}"
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def status_line(message: str, kind: str = "good") -> str:
    """Draw what an act has come to; `kind` is good or gentle."""
    return f'<p class="status {kind}" role="status">{escape(message)}</p>'


def progress_bar(name: str, share: float) -> str:
    """Draw a bar that is filled to a share from 0 to 1."""
    return (
        f'<div class="progress" role="progressbar" aria-label="{escape(name)}" aria-valuemin="0" aria-valuemax="100" '
        f'aria-valuenow="{round(100 * share)}"><i style="width:{100 * share:.1f}%"></i></div>'
    )


def top(scores: Scores) -> str:
    """The most probable label; the first in `EMOTIONS` order on a tie.

    >>> top({"fear": 0.4, "anger": 0.4, "sadness": 0.2})
    'anger'
    """
    return max(EMOTIONS, key=lambda label: scores.get(label, 0.0))


def second(scores: Scores) -> str:
    """The label that is most probable after `top`.

    >>> second({"fear": 0.4, "anger": 0.5, "sadness": 0.1})
    'fear'
    """
    return max((label for label in EMOTIONS if label != top(scores)), key=lambda label: scores.get(label, 0.0))


def disagree(acoustic: Scores, text: Scores | None) -> bool:
    """Tell if the words clearly indicate another emotion than the voice.

    Neutral words are no contradiction: most sentences are neutral, whatever their tone.

    >>> disagree({"anger": 1.0}, {"happiness": 0.8, "neutral": 0.2}), disagree({"anger": 1.0}, {"neutral": 1.0})
    (True, False)
    """
    if text is None:
        return False
    words = top(text)
    return words not in (top(acoustic), "neutral") and text[words] >= SURE_WORDS


def answer_card(recognition: Recognition) -> str:
    """The answer in one glance: label, percentage, what voice and words say, bars, transcript, notes."""
    fused, acoustic = recognition.fused.as_dict(), recognition.acoustic.as_dict()
    text = counted_words(recognition)
    waiting = "" if recognition.complete else _waiting(recognition)
    return (
        '<div class="answer">'
        + headline(fused, acoustic, text, waiting=waiting, unsure=recognition.unsure)
        + bars(fused, acoustic, text)
        + legend(text is not None, recognition.text_weight)
        + transcript_line(recognition)
        + notes_list([*([recognition.unsure] if recognition.unsure else []), *recognition.notes])
        + "</div>"
    )


def counted_words(recognition: Recognition) -> Scores | None:
    """Return the scores of the words if they counted in the answer, else None."""
    return recognition.text.as_dict() if recognition.text and recognition.text_weight > 0 else None


def headline(
    fused: Scores, acoustic: Scores, text: Scores | None, *, waiting: str = "", unsure: str | None = None
) -> str:
    """The label in large type with its percentage, and what voice and words say each.

    Args:
        fused: {label: probability} of voice and words together.
        acoustic: of the voice.
        text: of the words; None if they were left out or are awaited.
        waiting: what is still going on, shown in place of the words.
        unsure: why the answer should not be relied on; the two most probable labels then stand as a question.
    """
    label = top(fused)
    parts = [f"voice: {top(acoustic)} {percent(acoustic[top(acoustic)])}"]
    if text is not None:
        parts.append(f"words: {top(text)} {percent(text[top(text)])}")
    elif waiting:
        parts.append(f'<span class="waiting">{escape(waiting)}</span>')
    hint = '<span class="hint">Voice and words disagree</span>' if disagree(acoustic, text) else ""
    said = (
        f"<strong>Not sure: {label} or {second(fused)}</strong>"
        if unsure
        else f'<strong>{label}</strong> <span class="number">{percent(fused[label])}</span>'
    )
    return (
        f'<div class="headline{" unsure" if unsure else ""}">{icon(label)}<div><p class="label">{said}</p>'
        f'<p class="parts">{" · ".join(parts)} {hint}</p></div></div>'
    )


def bars(fused: Scores | None, acoustic: Scores | None = None, text: Scores | None = None) -> str:
    """A bar for each emotion, always in the same order: filled for the answer, marks for sound and words.

    Args:
        fused: None draws the empty frame.
        acoustic: marked by a dot.
        text: marked by a diamond.
    """
    first = top(fused) if fused else None
    rows = []
    for label in EMOTIONS:
        p = (fused or {}).get(label, 0.0)
        parts = [
            f"{name} {percent(scores[label])}" for name, scores in (("voice", acoustic), ("words", text)) if scores
        ]
        marks = "".join(
            f'<i class="mark {name}" style="left:{100 * scores[label]:.1f}%"></i>'
            for name, scores in (("sound", acoustic), ("words", text))
            if scores
        )
        rows.append(
            f'<li class="emotion-{label}{" first" if label == first else ""}" '
            f'title="{label}: {", ".join(parts) or "no answer yet"}">'
            f'{icon(label)}<span class="name">{label}</span>'
            f'<span class="track" aria-hidden="true"><i class="fill" style="width:{100 * p:.1f}%"></i>{marks}</span>'
            f'<span class="number">{round(100 * p) if fused else "–"}</span></li>'
        )
    return f'<ul class="bars" role="list" aria-label="Probability of each emotion, in percent">{"".join(rows)}</ul>'


def legend(words: bool, weight: float = 0.0) -> str:
    """Explain the marks on the bars."""
    counts = f"weight {percent(weight)}" if round(100 * weight) else "left out"
    share = f' <i class="mark words"></i>words ({counts})' if words else ""
    return f'<p class="legend"><i class="key-fill"></i>answer <i class="mark sound"></i>voice{share}</p>'


def transcript_line(recognition: Recognition) -> str:
    """Draw the transcript; unsure words greyed; a sentence if there are no words."""
    if recognition.transcript is None:
        waiting = "Listening to the words …" if not recognition.complete else "No transcript: there is no transcriber."
        return f'<p class="transcript quiet">{waiting}</p>'
    if not recognition.transcript.text.strip():
        return '<p class="transcript quiet">No words were recognised.</p>'
    return f'<p class="transcript">{words_html(recognition.transcript.text, recognition.transcript.segments)}</p>'


def words_html(text: str, segments: Sequence[Segment]) -> str:
    r"""A transcript in quotation marks; each word's confidence in its title, unsure ones greyed.

    >>> words_html("hi you", [Segment(0, 1, "hi", 0.9), Segment(1, 2, "you", 0.3)])
    '“<span title="90\xa0% sure">hi</span> <span class="unsure" title="30\xa0% sure">you</span>”'
    """
    if not segments:
        return f"“{escape(text)}”"
    return "“" + " ".join(_word(segment) for segment in segments) + "”"


def notes_list(notes: Sequence[str]) -> str:
    """Sentences a person should know; an empty list keeps its place."""
    return f'<ul class="notes" role="list">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def empty_card() -> str:
    """The answer's place before there is one."""
    return (
        '<div class="answer empty"><div class="headline"><div><p class="label">Ready</p>'
        '<p class="parts">Record or upload up to 60 seconds of speech.</p></div></div>'
        + bars(None)
        + legend(False)
        + '<p class="transcript quiet">The transcript appears here.</p><ul class="notes" role="list"></ul></div>'
    )


def listening_card(place: int = 0) -> str:
    """The answer's place while the voice is analysed, or while it waits: with its place in the queue, from 1."""
    return (
        empty_card()
        .replace("answer empty", "answer empty busy", 1)
        .replace("Ready", "Waiting …" if place else "Listening …", 1)
        .replace(
            "Record or upload up to 60 seconds of speech.",
            f"Place {place} in the queue." if place else "The voice comes first, then the words.",
            1,
        )
    )


def refusal_card(message: str) -> str:
    """Draw the answer's place for a refused clip: the reason, and what to do."""
    return (
        '<div class="answer empty refused"><div class="headline"><div><p class="label">Could not analyse this clip</p>'
        f'<p class="parts" role="alert">{escape(message)}</p></div></div>'
        + bars(None)
        + legend(False)
        + '<p class="transcript quiet"></p><ul class="notes" role="list"></ul></div>'
    )


def announcement(recognition: Recognition) -> str:
    """The answer as a sentence for screen readers."""
    basis = "from voice and words" if counted_words(recognition) else "from the voice"
    if recognition.unsure:
        fused = recognition.fused.as_dict()
        return f"Not sure: {top(fused)} or {second(fused)}, {basis}. {recognition.unsure}"
    return f"{recognition.fused.label}, {round(100 * recognition.fused.confidence)} percent, {basis}."


def clip_line(duration: float, notes: Sequence[str], stored: str) -> str:
    """Duration, quality and whether anything is stored, in one line."""
    quality = (
        "clean" if not notes else escape(notes[0]).rstrip(".").lower() if len(notes) == 1 else f"{len(notes)} notes"
    )
    return f'<p class="clip-line">{clock(duration)} · {quality} · {escape(stored)}</p>'


def details_table(recognition: Recognition) -> str:
    """Seconds spent in each step, and the models."""
    timings = recognition.timings
    steps = ("decode", "vad", "acoustic", "transcription", "text", "total")
    times = "".join(f"<tr><th>{step}</th><td>{getattr(timings, step):.3f} s</td></tr>" for step in steps)
    models = "".join(
        f"<tr><th>{escape(part)}</th><td>{escape(name)}</td></tr>" for part, name in recognition.models.items()
    )
    return (
        '<div class="details"><table><caption>Time</caption>' + times + "</table>"
        "<table><caption>Models</caption>" + models + "</table></div>"
    )


def _waiting(recognition: Recognition) -> str:
    return "words: listening …" if recognition.transcript is None else "words: reading …"


def _word(segment: Segment) -> str:
    if segment.confidence is None:
        return f"<span>{escape(segment.text)}</span>"
    unsure = ' class="unsure"' if segment.confidence < UNSURE_WORD else ""
    return f'<span{unsure} title="{percent(segment.confidence)} sure">{escape(segment.text)}</span>'
