"""The reasons for an answer, on request: moments over the waveform, bands, marked words, voice cues."""

from collections.abc import Iterator, Sequence

import gradio as gr

from ser.explanation.cues import CUES
from ser.explanation.explanation import Cue, Explanation, Part, Word
from ser.types import Audio
from ui.backend.identity import charge
from ui.backend.limits import EXPLANATION_COST
from ui.backend.services import Services
from ui.backend.turns import PRESSED, Waiting
from ui.parts.errors import shows_errors
from ui.parts.palette import css_class
from ui.parts.player import HEIGHT, WIDTH, waveform
from ui.parts.presentation import NO_BREAK_SPACE, as_written, clock, escape, status_line
from ui.recognize.form import ASK_WHY, Analysed

LEAST_EFFECT = 0.005
"""Change of the probability that is worth a mark: less would read 0 points."""

CUE_NAMES = {
    "pitch": "Pitch",
    "range": "Pitch range",
    "loudness": "Loudness",
    "rate": "Speaking rate",
    "pauses": "Pauses",
}


class WhyHandlers:
    """The event of this part."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def on_why(self, analysed: Analysed | None, request: gr.Request) -> Iterator[str]:
        """Explain the answer that is on the page."""
        if analysed is None or analysed.audio is None:
            yield ASK_WHY
            return
        audio, answer = analysed.audio, analysed.recognition
        charge(self.services, request, "recognitions", amount=EXPLANATION_COST)
        session = str(request.session_hash)
        recognizer, usual = self.services.recognizer, self.services.profiles.usual_cues(session)

        def steps() -> Iterator[Explanation]:
            yield recognizer.explain(audio, analysed.profiles, answer=answer, usual=usual)

        yield status_line("Looking for the reasons …", "quiet")
        for step in self.services.answers(session, audio.duration, steps):
            if isinstance(step, Waiting):
                yield status_line(f"Place {step.place} in the queue.", "quiet")
            else:
                yield why_card(step, audio)


def build_why(services: Services, analysed: gr.State) -> gr.HTML:
    """Lay out the part and connect its event; returns the place of the reasons."""
    with gr.Accordion("Why?", open=False, elem_id="recognize-why"):
        button = gr.Button("Explain this answer", size="sm", elem_id="explain")
        reasons = gr.HTML(ASK_WHY, elem_id="why", apply_default_css=False)
    button.click(
        shows_errors(WhyHandlers(services).on_why),
        analysed,
        reasons,
        **PRESSED,
    )
    return reasons


def why_card(explanation: Explanation, audio: Audio) -> str:
    """The reasons as HTML."""
    label = explanation.label
    return (
        f'<div class="why {css_class(label)}"><p>What raised <strong>{escape(label)}</strong> (coloured) or lowered it '
        "(hatched), in points of its probability. Each part was taken away, and the clip answered again.</p>"
        + _moments(explanation.moments, audio, label)
        + _words(explanation)
        + '<div class="why-lists">'
        + _bands(explanation.bands)
        + _cues(explanation.cues)
        + "</div></div>"
    )


def points(effect: float) -> str:
    r"""A change of a probability in points.

    >>> points(0.123), points(-0.5), points(0.001)
    ('+12\xa0points', '−50\xa0points', '0\xa0points')
    """
    whole = round(100 * effect)
    sign = "+" if whole > 0 else "−" if whole < 0 else ""
    return f"{sign}{abs(whole)}{NO_BREAK_SPACE}point{'' if abs(whole) == 1 else 's'}"


def _moments(moments: Sequence[Part], audio: Audio, label: str) -> str:
    """The waveform with a mark on each moment, the darker the more it counts; the strongest ones in words."""
    most = max([LEAST_EFFECT, *(abs(part.effect) for part in moments)])
    marks = "".join(
        f'<rect class="{"for" if part.effect > 0 else "against"}" x="{WIDTH * part.start / audio.duration:.1f}" '
        f'width="{WIDTH * (part.end - part.start) / audio.duration:.1f}" y="0" height="{HEIGHT}" '
        f'opacity="{0.75 * abs(part.effect) / most:.2f}"><title>{clock(part.start)} to {clock(part.end)}: '
        f"{points(part.effect)}</title></rect>"
        for part in moments
        if abs(part.effect) >= LEAST_EFFECT
    )
    best = [part for part in sorted(moments, key=lambda part: -part.effect)[:2] if part.effect >= LEAST_EFFECT]
    said = (
        f"Most for {escape(label)}: "
        + ", ".join(f"{clock(part.start)} to {clock(part.end)} ({points(part.effect)})" for part in best)
        if best
        else f"No single moment speaks for {escape(label)}"
    )
    return (
        f'<svg class="why-wave" viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{said}"><defs><pattern id="why-hatch" width="8" height="8" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><rect width="3" height="8"/></pattern></defs>{marks}'
        f'<path d="{waveform(audio.signal)}"/></svg><p class="quiet">{said}.</p>'
    )


def _words(explanation: Explanation) -> str:
    if not explanation.words:
        return '<p class="quiet">The words did not count in this answer.</p>'
    most = max([LEAST_EFFECT, *(abs(word.effect) for word in explanation.words)])
    marked = " ".join(_word(word, most) for word in explanation.words)
    return (
        f'<p class="transcript">“{marked}”</p><p class="quiet">All words together: '
        f"{points(explanation.words_effect)}, against the voice alone.</p>"
    )


def _word(word: Word, most: float) -> str:
    if abs(word.effect) < LEAST_EFFECT:
        return as_written(word.text)
    kind = "for" if word.effect > 0 else "against"
    return (
        f'<mark class="{kind}" style="--share:{100 * abs(word.effect) / most:.0f}%" title="{points(word.effect)}">'
        f'{as_written(word.text)}<sup aria-hidden="true">{points(word.effect).split(NO_BREAK_SPACE)[0]}</sup></mark>'
    )


def _bands(bands: Sequence[Part]) -> str:
    most = max([LEAST_EFFECT, *(abs(band.effect) for band in bands)])
    rows = "".join(
        f"<tr><th scope='row'>{band.start:.0f}–{band.end:.0f} Hz</th><td><span class='track' aria-hidden='true'>"
        f'<i class="fill {"for" if band.effect > 0 else "against"}" style="width:{100 * abs(band.effect) / most:.0f}%">'
        f"</i></span></td><td>{points(band.effect)}</td></tr>"
        for band in bands
    )
    return f"<table><caption>Bands</caption>{rows}</table>"


def _cues(cues: Sequence[Cue]) -> str:
    rows = "".join(
        f"<tr><th scope='row'>{CUE_NAMES[cue.name]}</th><td>{_value(cue, cue.value)}</td>"
        f"<td>{'' if cue.usual is None else f'usually {_value(cue, cue.usual)}'}</td>"
        f"<td>{'' if cue.effect is None else points(cue.effect)}</td></tr>"
        for cue in cues
    )
    unknown = all(cue.usual is None for cue in cues)
    note = "<p class='quiet'>Record another clip of the same voice to compare with.</p>" if unknown else ""
    return f"<div><table><caption>Voice, against your clips before</caption>{rows}</table>{note}</div>"


def _value(cue: Cue, value: float | None) -> str:
    r"""A cue with its unit.

    >>> _value(Cue("pauses", 0.1, None, "share", None), 0.1), _value(Cue("pitch", 110.0, None, "Hz", None), 110.4)
    ('10\xa0%', '110\xa0Hz')
    """
    if value is None:
        return "–"
    if cue.name == "pauses":
        return f"{round(100 * value)}{NO_BREAK_SPACE}%"
    return f"{value:.3g}{NO_BREAK_SPACE}{CUES[cue.name]}".replace("-", "−")
