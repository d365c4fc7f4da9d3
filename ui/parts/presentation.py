"""Answers as HTML: label, bars, transcript, notes. Pure; knows no component of the page.

Everything that comes from a person or a model is escaped here, once.
"""

import html
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from annotations.labels.label_set import DEFAULT, LabelSet, most_probable
from annotations.raters.votes import in_order
from ser.config import NO_MODEL
from ser.fusion.remarks import NO_WORDS
from ser.types import Recognition, Segment
from ui.parts.palette import NO_TEXTS, SEVEN, Texts, css_class, icon

UNSURE_WORD = 0.6
"""Words below this confidence are greyed. Source: measured on read speech with the embedded transcriber: words that
were right had a mean confidence of 0.75, wrong ones 0.49."""

SURE_WORDS = 0.4
"""Least top probability of the words before they are said to disagree with the voice."""

Scores = Mapping[str, float | None]
"""{label: probability}, None for a label that the model was not trained on yet."""

NO_BREAK_SPACE = "\u00a0"


def escape(text: object) -> str:
    """Text for HTML, template signs included, so that nothing a person wrote can act on the page.

    >>> escape("<b>${x}{{y}}")
    '&lt;b&gt;&#36;&#123;x&#125;&#123;&#123;y&#125;&#125;'
    """
    escaped = html.escape(str(text))
    return escaped.replace("$", "&#36;").replace("{", "&#123;").replace("}", "&#125;")


def as_written(text: object) -> str:
    """Mark text that a person or a model wrote, for HTML: it is shown as it is in every language.

    >>> as_written("hi & you")
    '<span translate="no">hi &amp; you</span>'
    """
    return f'<span translate="no">{escape(text)}</span>'


def percent(probability: float) -> str:
    r"""A probability as whole percent.

    >>> percent(0.714)
    '71\xa0%'
    """
    return f"{round(100 * probability)}{NO_BREAK_SPACE}%"


def clock(seconds: float, *, tenths: bool = True) -> str:
    """A duration as minutes and seconds, with tenths below a minute if wanted.

    >>> clock(3.24), clock(75), clock(48, tenths=False)
    ('0:03.2', '1:15', '0:48')
    """
    if tenths and seconds < 59.95:
        return f"0:{seconds:04.1f}"
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def size(count: int) -> str:
    r"""A number of bytes as a person says it.

    >>> size(740), size(1_234_567), size(25 * 10**9)
    ('740\xa0B', '1.2\xa0MB', '25\xa0GB')
    """
    number, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while number >= 999.5 and len(units) > 1:
        number, units = number / 1000, units[1:]
    shown = f"{number:.1f}" if number < 9.95 and units[0] != "B" else f"{number:.0f}"
    return f"{shown}{NO_BREAK_SPACE}{units[0]}"


def status_line(message: str, kind: str = "good") -> str:
    """Draw what an act has come to; `kind` is good or gentle."""
    return f'<p class="status {kind}" role="status">{escape(message)}</p>'


def top(scores: Scores) -> str:
    """The most probable label; on a tie the first in `EMOTIONS` order, or as they come. Empty if there are no scores.

    >>> top({"fear": 0.4, "anger": 0.4, "sadness": 0.2})
    'anger'
    """
    return most_probable({label: scores[label] for label in in_order(known(scores))}) or ""


def second(scores: Scores) -> str:
    """The label that is most probable after `top`.

    >>> second({"fear": 0.4, "anger": 0.5, "sadness": 0.1})
    'fear'
    """
    return top({label: share for label, share in known(scores).items() if label != top(scores)})


def known(scores: Scores) -> dict[str, float]:
    """The scores that there are: without labels that the model was not trained on.

    >>> known({"calm": None, "anger": 1.0})
    {'anger': 1.0}
    """
    return {label: share for label, share in scores.items() if share is not None}


def disagree(acoustic: Scores, text: Scores | None, neutral: Collection[str] = ("neutral",)) -> bool:
    """Tell if the words clearly indicate another emotion than the voice.

    Neutral words are no contradiction: most sentences are neutral, whatever their tone.

    >>> disagree({"anger": 1.0}, {"happiness": 0.8, "neutral": 0.2}), disagree({"anger": 1.0}, {"neutral": 1.0})
    (True, False)
    """
    if text is None or not known(text):
        return False
    words = top(text)
    return words not in (top(acoustic), *neutral) and known(text)[words] >= SURE_WORDS


def answer_card(recognition: Recognition, labels: LabelSet = DEFAULT, texts: Texts = NO_TEXTS) -> str:
    """The answer in one glance: label, percentage, what voice and words say, bars, transcript, notes.

    Args:
        recognition: complete or early.
        labels: of the store; what the model says is mapped to them.
        texts: names of labels to show.
    """
    fused, acoustic = labels.scores(recognition.fused.as_dict()), labels.scores(recognition.acoustic.as_dict())
    words = counted_words(recognition)
    text = None if words is None else labels.scores(words)
    others = {"opinion": recognition.opinion, "face": recognition.face}
    further = {name: labels.scores(one.scores.as_dict()) for name, one in others.items() if one and one.scores}
    # What the place of the transcript and the hint next to the label say is not said again.
    repeated = (NO_WORDS, "Voice and words disagree")[: 1 + disagree(acoustic, text, labels.meaning("neutral"))]
    notes = [note for note in recognition.notes if not note.startswith(repeated)]
    return (
        '<div class="answer">'
        + headline(
            fused,
            acoustic,
            text,
            further=further,
            waiting="" if recognition.complete else _waiting(recognition),
            unsure=recognition.unsure,
            neutral=labels.meaning("neutral"),
            texts=texts,
        )
        + bars(fused, acoustic, text, texts or labels.texts(""))
        + legend(text is not None, recognition.text_weight)
        + ratings_line(recognition.acoustic.ratings)
        + transcript_line(recognition)
        + notes_list([*([recognition.unsure] if recognition.unsure else []), *notes])
        + "</div>"
    )


def counted_words(recognition: Recognition) -> Mapping[str, float] | None:
    """Return the scores of the words if they counted in the answer, else None."""
    return recognition.text.as_dict() if recognition.text and recognition.text_weight > 0 else None


def headline(
    fused: Scores,
    acoustic: Scores,
    text: Scores | None,
    *,
    further: Mapping[str, Scores] = MappingProxyType({}),
    waiting: str = "",
    unsure: str | None = None,
    neutral: Collection[str] = ("neutral",),
    texts: Texts = NO_TEXTS,
) -> str:
    """The label in large type with its percentage, and what voice and words say each.

    Args:
        fused: {label: probability} of voice and words together.
        acoustic: of the voice.
        text: of the words; None if they were left out or are awaited.
        further: of a language model (`opinion`) and of a `face`, if there are any.
        waiting: what is still going on.
        unsure: why the answer should not be relied on; the two most probable labels then stand as a question.
        neutral: labels that contradict none.
        texts: names of labels to show.
    """
    label = top(fused)
    if not label:
        return (
            '<div class="headline unsure"><div><p class="label"><strong>Not trained yet</strong></p><p class="parts">'
            "The model knows none of these labels. Label some clips, then retrain.</p></div></div>"
        )
    parts = [f"voice: {said(acoustic, texts)}"] if known(acoustic) else []
    if text is not None and known(text):
        parts.append(f"words: {said(text, texts)}")
    for name, scores in further.items():
        if known(scores):
            parts.append(f"{'language model' if name == 'opinion' else 'face'}: {said(scores, texts)}")
    if waiting:
        parts.append(f'<span class="waiting">{escape(waiting)}</span>')
    hint = '<span class="hint">Voice and words disagree</span>' if disagree(acoustic, text, neutral) else ""
    first, other = (escape(texts.get(name, name)) for name in (label, second(fused)))
    headline_text = (
        f"<strong>Not sure: {first} or {other}</strong>"
        if unsure and other
        else f'<strong>{first}</strong> <span class="number">{percent(known(fused)[label])}</span>'
    )
    return (
        f'<div class="headline{" unsure" if unsure else ""}">{icon(label)}<div><p class="label">{headline_text}</p>'
        f'<p class="parts">{" · ".join(parts)} {hint}</p></div></div>'
    )


def said(scores: Scores, texts: Texts = NO_TEXTS) -> str:
    """The most probable label with its percentage; at least one is known."""
    return f"{escape(texts.get(top(scores), top(scores)))} {percent(known(scores)[top(scores)])}"


def bars(
    fused: Scores | None,
    acoustic: Scores | None = None,
    text: Scores | None = None,
    texts: Texts = SEVEN,
) -> str:
    """A bar for each label, always in the same order: filled for the answer, marks for sound and words.

    Args:
        fused: None draws the empty frame.
        acoustic: marked by a dot.
        text: marked by a diamond.
        texts: labels of the store in order, with the names to show.
    """
    first = top(fused) if fused else None
    rows = []
    for label, text_shown in texts.items():
        p, name_shown = (fused or {}).get(label, 0.0), escape(text_shown)
        if p is None:
            rows.append(
                f'<li class="{css_class(label)}">{icon(label)}<span class="name">{name_shown}</span>'
                f'<span class="track unlearnt">not trained yet</span><span class="number">–</span></li>'
            )
            continue
        marked = [
            (name, mark, share)
            for name, mark, scores in (("voice", "sound", acoustic), ("words", "words", text))
            if scores and (share := scores.get(label)) is not None
        ]
        parts = [f"{name} {percent(share)}" for name, _, share in marked]
        marks = "".join(f'<i class="mark {mark}" style="left:{100 * share:.1f}%"></i>' for _, mark, share in marked)
        rows.append(
            f'<li class="{css_class(label)}{" first" if label == first else ""}" '
            f'title="{name_shown}: {", ".join(parts) or "no answer yet"}">'
            f'{icon(label)}<span class="name">{name_shown}</span>'
            f'<span class="track" aria-hidden="true"><i class="fill" style="width:{100 * p:.1f}%"></i>{marks}</span>'
            f'<span class="number">{round(100 * p) if fused else "–"}</span></li>'
        )
    return f'<ul class="bars" role="list" aria-label="Probability of each emotion, in percent">{"".join(rows)}</ul>'


def legend(words: bool, weight: float = 0.0) -> str:
    """Explain the marks on the bars.

    Args:
        words: whether the words counted; what did not count is not drawn.
        weight: of the words in the answer; 0 if it is not known.
    """
    counts = f" (weight {percent(weight)})" if weight else ""
    share = f' <i class="mark words"></i>words{counts}' if words else ""
    return f'<p class="legend"><i class="key-fill"></i>answer <i class="mark sound"></i>voice{share}</p>'


def ratings_line(ratings: Mapping[str, tuple[float, float]]) -> str:
    """Ratings from 0 to 100 that the voice gets, each with its agreement with raters; empty if none is predicted.

    >>> ratings_line({"valence": (63.4, 0.55)})
    '<p class="ratings">valence <strong>63</strong> <span class="quiet">(agrees with raters: 0.55)</span></p>'
    """
    parts = [
        f'{escape(name)} <strong>{value:.0f}</strong> <span class="quiet">(agrees with raters: {agreement:.2f})</span>'
        for name, (value, agreement) in ratings.items()
    ]
    return f'<p class="ratings">{" · ".join(parts)}</p>' if parts else ""


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

    >>> words_html("hi", [Segment(0, 1, "hi", 0.9)])
    '“<span title="90\xa0% sure"><span translate="no">hi</span></span>”'
    """
    if not segments:
        return f"“{as_written(text)}”"
    return "“" + " ".join(_word(segment) for segment in segments) + "”"


def notes_list(notes: Sequence[str]) -> str:
    """Sentences a person should know; an empty list keeps its place."""
    return f'<ul class="notes" role="list">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def announcement(recognition: Recognition, labels: LabelSet = DEFAULT, texts: Texts = NO_TEXTS) -> str:
    """The answer as a sentence for screen readers; `texts` are names of labels to show."""
    fused = labels.scores(recognition.fused.as_dict())
    if not top(fused):
        return "The model was not trained on any of these labels yet."
    basis = "from voice and words" if counted_words(recognition) else "from the voice"
    if recognition.unsure and second(fused):
        first, other = (texts.get(name, name) for name in (top(fused), second(fused)))
        return f"Not sure: {first} or {other}, {basis}. {recognition.unsure}"
    return f"{texts.get(top(fused), top(fused))}, {round(100 * known(fused)[top(fused)])} percent, {basis}."


def _waiting(recognition: Recognition) -> str:
    if recognition.transcript is None:
        return "words: listening …"
    read = recognition.text is not None or recognition.models.get("text") == NO_MODEL
    return "language model: reading …" if read else "words: reading …"


def _word(segment: Segment) -> str:
    if segment.confidence is None:
        return as_written(segment.text)
    unsure = ' class="unsure"' if segment.confidence < UNSURE_WORD else ""
    return f'<span{unsure} title="{percent(segment.confidence)} sure">{as_written(segment.text)}</span>'
