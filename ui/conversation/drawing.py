"""A conversation as HTML and SVG: summary, chart with arrows, turns, and why a turn is what it is. Pure."""

from collections.abc import Sequence

from ser.conversation.conversation import Conversation, FeltTurn
from ser.conversation.summary import Sentence
from ser.types import EmotionScores
from ui.parts.palette import css_class, face, icon
from ui.parts.presentation import as_written, clock, escape, percent

LANE, TOP, LEFT, RADIUS, BELOW = 118, 56, 12, 13, 34
"""Pixels of the chart: of a speaker, above the first one, at the left, of a turn, from it to below its number."""

LEAST_STEP, MOST_STEP, USUAL_WIDTH = 46, 110, 1000
"""Pixels between turns, so that a short conversation fills the usual width and a long one can be scrolled."""

MOST_ARROWS = 60
"""Arrows that are drawn, the most probable ones; more would hide each other."""

SHOWN_WORDS = 3
"""Words of a cause that are marked, at most."""

LEAST_EFFECT = 0.02
"""Probability that a word must add to be marked."""

LIMITS = (
    "What this page cannot know: what happened before or outside of these turns, irony, gestures, and what a person "
    "keeps to themselves. A cause is a guess from words: it may be wrong, and it blames nobody.",
    "Trained on written English dialogues, in which people are happy more often than in life. It is no diagnosis and "
    "no measure of a person, and must not be used at work or at school to judge anybody.",
)


def conversation_html(conversation: Conversation, summary: Sequence[Sentence], *, token: str, playable: bool) -> str:
    """The whole answer.

    Args:
        conversation: to draw.
        summary: its sentences.
        token: under which the server keeps it.
        playable: whether there is sound.
    """
    notes = "".join(f"<li>{escape(note)}</li>" for note in conversation.notes)
    rows = "".join(_turn(conversation, place, playable) for place in range(len(conversation.turns)))
    return (
        f'<div class="conversation" data-token="{escape(token)}">'
        f"{_summary(summary)}{chart(conversation)}"
        '<h3 id="cv-turns-title">Turns</h3>'
        f'<ol class="cv-turns" aria-labelledby="cv-turns-title">{rows}</ol>'
        f'<ul class="notes cv-notes" role="list">{notes}</ul>{limits_html()}</div>'
    )


def limits_html() -> str:
    """Draw what the tab cannot know, and must not be used for."""
    return '<div class="cv-limits">' + "".join(f"<p>{escape(one)}</p>" for one in LIMITS) + "</div>"


def _summary(summary: Sequence[Sentence]) -> str:
    if not summary:
        return ""
    rows = "".join(f"<li>{escape(one.text)} {_links(one.turns)}</li>" for one in summary)
    return f'<section class="cv-summary" aria-label="Summary"><h3>Summary</h3><ul>{rows}</ul></section>'


def _links(turns: Sequence[int]) -> str:
    return '<span class="cv-links">' + " ".join(_link(turn) for turn in turns) + "</span>"


def _link(turn: int) -> str:
    name = f"Turn {turn + 1}"
    return f'<a href="#cv-turn-{turn + 1}" data-turn="{turn + 1}" aria-label="{name}">{turn + 1}</a>'


def _turn(conversation: Conversation, place: int, playable: bool) -> str:
    one = conversation.turns[place]
    number, speaker = place + 1, conversation.speakers.index(one.turn.speaker) % 4
    time = "" if one.turn.start is None else f'<span class="cv-time">{clock(one.turn.start)}</span>'
    play = ""
    if playable and one.turn.start is not None:
        end = one.turn.end or one.turn.start
        play = (
            f'<button type="button" class="cv-play" data-start="{one.turn.start:.2f}" data-end="{end:.2f}" '
            f'aria-label="Play turn {number}">▶</button>'
        )
    said = as_written(one.turn.words) if one.turn.words else '<span class="quiet">no words were recognised</span>'
    return (
        f'<li id="cv-turn-{number}" class="cv-turn cv-speaker-{speaker}" tabindex="-1">'
        f'<p class="cv-head"><span class="cv-number">{number}</span> <strong>{as_written(one.turn.speaker)}</strong> '
        f"{time} {_feeling(one)}</p>"
        f'<p class="cv-words">{said}</p>{_causes(conversation, place)}'
        f'<p class="cv-acts">{play}<button type="button" class="cv-why" aria-expanded="false" '
        f'aria-controls="cv-why-{number}" data-turn="{number}">Why?</button>'
        f'<button type="button" class="cv-answer" aria-expanded="false" aria-controls="cv-reply-{number}" '
        f'data-turn="{number}">What could I say?</button></p>'
        f'<div id="cv-why-{number}" class="cv-details" hidden></div>'
        f'<div id="cv-reply-{number}" class="cv-details cv-reply" data-turn="{number}" hidden></div></li>'
    )


def _feeling(one: FeltTurn) -> str:
    if one.feeling is None or one.label is None:
        return '<span class="cv-feeling quiet">no answer</span>'
    doubt = ' <span class="cv-doubt">not sure</span>' if one.unsure else ""
    return (
        f'<span class="cv-feeling {css_class(one.label)}">{icon(one.label)}<span>{one.label}</span> '
        f'<span class="number">{percent(one.feeling.confidence)}</span></span>{doubt}'
    )


def _causes(conversation: Conversation, place: int) -> str:
    causes = conversation.causes_of(place)
    if not causes:
        return ""
    itself = any(cause.source == place for cause in causes)
    others = [cause.source for cause in causes if cause.source != place]
    parts = [f"It may come from turn {_links(others)}"] if len(others) == 1 else []
    parts += [f"It may come from the turns {_links(others)}"] if len(others) > 1 else []
    if itself:
        parts.append("It may come from what is told in this turn." if not others else "and from this turn.")
    return f'<p class="cv-causes">{" ".join(parts)}</p>'


def chart(conversation: Conversation) -> str:
    """Feelings of each person over the turns, with arrows from causes; the list below says the same in words."""
    turns, speakers = conversation.turns, conversation.speakers
    step = min(MOST_STEP, max(LEAST_STEP, USUAL_WIDTH // max(1, len(turns))))
    width, height = LEFT * 2 + step * len(turns), TOP + LANE * len(speakers)
    places = [
        (LEFT + step * (number + 0.5), TOP + LANE * speakers.index(one.turn.speaker) + LANE / 2 - 8)
        for number, one in enumerate(turns)
    ]
    arrows = sorted(conversation.causes, key=lambda cause: -cause.probability)
    drawn = "".join(
        _arrow(places[cause.source], places[cause.turn], cause.probability)
        for cause in arrows[:MOST_ARROWS]
        if cause.source != cause.turn
    )
    lanes = [_lane(conversation, speaker, row, width) for row, speaker in enumerate(speakers)]
    lines, names = ("".join(parts) for parts in zip(*lanes, strict=True)) if lanes else ("", "")
    marks = "".join(_mark(one, number + 1, places[number]) for number, one in enumerate(turns))
    return (
        '<figure class="cv-chart"><figcaption>Feelings over time; an arrow leads from a turn to the feeling that it '
        'may have caused.</figcaption><div class="cv-scroll" tabindex="0" role="group" '
        'aria-label="Feelings over time; the turns below say the same">'
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" aria-hidden="true">'
        '<defs><marker id="cv-tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto-start-reverse"><path d="M0 0 8 4 0 8z"/></marker></defs>'
        f"{lines}{drawn}{names}{marks}</svg></div></figure>"
    )


def _lane(conversation: Conversation, speaker: str, row: int, width: int) -> tuple[str, str]:
    """The line of a speaker, and the name over it, which is drawn over the arrows."""
    top = TOP + LANE * row
    shares = ", ".join(f"{label} {percent(share)}" for label, share in conversation.shares(speaker).items())
    return (
        f'<line class="cv-line" x1="0" x2="{width}" y1="{top + LANE / 2 - 8}" y2="{top + LANE / 2 - 8}"/>',
        f'<text class="cv-name" x="2" y="{top - 6}"><tspan translate="no">{escape(speaker)}</tspan>'
        f'<tspan class="cv-shares" dx="8">{shares}</tspan></text>',
    )


def _mark(one: FeltTurn, number: int, at: tuple[float, float]) -> str:
    x, y = at
    label = one.label or ""
    unsure = " unsure" if one.unsure or not label else ""
    drawn = face(label) if label else ""
    said = f"Turn {number}: {label}" if label else f"Turn {number}: no answer"
    return (
        f'<a href="#cv-turn-{number}" data-turn="{number}" class="cv-mark {css_class(label) if label else ""}{unsure}" '
        f'tabindex="-1"><title>{said}</title>'
        f'<g transform="translate({x - 12:.1f} {y - 12:.1f})"><circle cx="12" cy="12" r="{RADIUS - 2}"/>{drawn}</g>'
        f'<text x="{x:.1f}" y="{y + 28:.1f}" text-anchor="middle">{number}</text></a>'
    )


def _arrow(source: tuple[float, float], target: tuple[float, float], probability: float) -> str:
    (x0, y0), (x1, y1) = source, target
    if abs(y1 - y0) < 1:
        # Over the turns of the same person that lie between.
        high = min(60.0, 18 + (x1 - x0) * 0.14)
        path = f"M{x0:.1f} {y0 - RADIUS:.1f}Q{(x0 + x1) / 2:.1f} {y0 - RADIUS - high:.1f} {x1:.1f} {y1 - RADIUS:.1f}"
    else:
        # The number of a turn stands below its face: an arrow begins and ends beyond it.
        start, end = (y0 + BELOW, y1 - RADIUS) if y1 > y0 else (y0 - RADIUS, y1 + BELOW)
        middle = (start + end) / 2
        path = f"M{x0:.1f} {start:.1f}C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {end:.1f}"
    return f'<path class="cv-arrow" d="{path}" marker-end="url(#cv-tip)" style="opacity:{max(0.35, probability):.2f}"/>'


def why_html(
    one: FeltTurn,
    causes: Sequence[tuple[int, float, Sequence[tuple[str, float]]]],
) -> str:
    """Draw the reasons for a turn's feeling.

    Args:
        one: the turn.
        causes: turn of each cause counted from 0, its probability, and its words with what each adds to it.
    """
    parts = (
        ("Voice", one.turn.voice),
        ("Words alone", one.words),
        ("Words after the turns before", one.context),
        ("Language model", one.opinion),
        ("Together", one.feeling),
    )
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{_most(scores)}</td></tr>' for name, scores in parts if scores is not None
    )
    table = f'<table class="cv-parts">{rows}</table>' if rows else ""
    doubt = f'<p class="quiet">{escape(one.unsure)}</p>' if one.unsure else ""
    listed = "".join(
        f"<li>{_link(turn)} <span class='number'>{percent(probability)}</span> {_marked(words)}</li>"
        for turn, probability, words in causes
    )
    found = (
        f"<p>What may have caused it; the words that speak most for it are marked:</p>"
        f'<ul class="cv-why-causes">{listed}</ul>'
        if listed
        else '<p class="quiet">No cause was found in what was said.</p>'
        if one.felt
        else ""
    )
    return table + doubt + found


def _most(scores: EmotionScores) -> str:
    first, second = sorted(scores.as_dict().items(), key=lambda pair: -pair[1])[:2]
    return (
        f'<span class="{css_class(first[0])}">{icon(first[0])}{first[0]} {percent(first[1])}</span>, '
        f"{second[0]} {percent(second[1])}"
    )


def _marked(words: Sequence[tuple[str, float]]) -> str:
    best = sorted((effect for _, effect in words), reverse=True)[:SHOWN_WORDS]
    least = max(LEAST_EFFECT, best[-1]) if best else LEAST_EFFECT
    said = " ".join(f"<mark>{escape(word)}</mark>" if effect >= least else escape(word) for word, effect in words)
    return f'<q translate="no">{said}</q>'
