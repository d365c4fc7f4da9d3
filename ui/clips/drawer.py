"""One clip with all that is known of it, as the drawer shows it. Pure HTML; knows no component."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from annotations.labels.label_set import LabelSet
from annotations.raters.people import Person
from annotations.store.records import Clip, Correction, HistoryEntry, Prediction
from ui.parts.palette import icon, label_choices
from ui.parts.presentation import as_written, clock, escape, percent
from ui.train.run_cards import moment


def shell() -> str:
    """The drawer and the window that asks before many clips are changed, empty; the page's script fills them."""
    return (
        '<dialog id="clip-drawer" aria-labelledby="clip-title"><header><h2 id="clip-title">Clip</h2>'
        '<button type="button" class="step" data-step="-1" aria-label="Previous clip of the list">‹</button>'
        '<button type="button" class="step" data-step="1" aria-label="Next clip of the list">›</button>'
        '<button type="button" class="copy-link">Copy link</button>'
        '<button type="button" class="close">Close <kbd>Esc</kbd></button></header>'
        '<div class="drawer-body"></div><p class="status" role="status" id="clip-status"></p></dialog>'
        '<dialog id="clips-ask" aria-labelledby="clips-ask-title"><form method="dialog"><h2 id="clips-ask-title"></h2>'
        '<div class="ask-body"></div><p class="status gentle" role="alert"></p><div class="save-row">'
        '<button type="button" class="confirm primary"></button><button type="button" class="cancel">Cancel</button>'
        "</div></form></dialog>"
    )


@dataclass(frozen=True)
class ClipView:
    """The part of a clip that a person may see.

    Attributes:
        clip: the recording.
        about: what else is known of it, as HTML.
        entries: its history, oldest first.
        own: the person's own standing vote.
        text: what was said.
        withdraws: whether they may withdraw a consent of their own.
        picture: of the face that is kept with it, as JPEG, if they may erase it.
    """

    clip: Clip
    about: str
    entries: Sequence[HistoryEntry]
    own: Correction | None
    text: str
    withdraws: bool
    picture: bytes | None = None


def drawer(view: ClipView, player: str, labels: LabelSet, person: Person) -> str:
    """Draw a clip with its player, for a person of some role."""
    answers = [entry for entry in view.entries if entry.correction is None]
    votes = [entry for entry in view.entries if entry.correction is not None]
    words = f"“{as_written(view.text)}”" if view.text.strip() else '<span class="quiet">No words.</span>'
    return (
        f'<p class="clip-line">{view.about}</p>{player}<p class="transcript" dir="auto">{words}</p>'
        + (_picture(view.picture) if view.picture else "")
        + (_vote_form(view, labels) if person.may("review stored clips") else "")
        + _answers(answers, labels)
        + _votes(votes)
        + _acts(person, view)
    )


def _picture(jpeg: bytes) -> str:
    source = f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
    return (
        f'<div class="face-row"><img src="{source}" alt="The picture kept with this clip" width="72">'
        '<p class="quiet">A picture is kept with this clip.</p>'
        '<button type="button" class="act danger" data-act="picture">Erase the picture …</button></div>'
    )


def described(clip: Clip, file: str | None, original: str | None, gold: str | None) -> str:
    """Describe where a recording comes from and what it may be used for, as HTML."""
    parts = [
        as_written(clip.source),
        as_written(clip.speaker) if clip.speaker else "speaker unknown",
        clock(clip.duration),
    ]
    parts += [f"file {as_written(file)}"] if file else []
    parts += [f"original label {as_written(original)}"] if original else []
    parts += [f"gold: <strong>{escape(gold)}</strong>"] if gold else []
    parts += [f"stored {moment(clip.created_at)}", f"allowed for {', '.join(clip.consent) or 'nothing'}"]
    return " · ".join(parts)


def _vote_form(view: ClipView, labels: LabelSet) -> str:
    own = view.own
    chosen = (own.label or own.verdict) if own else None
    votes = "".join(
        f'<label><input type="radio" name="drawer-vote" value="{value}"{" checked" if value == chosen else ""}>'
        f"<span>{escape(words)}</span></label>"
        for words, value in label_choices(labels)
    )
    comment = escape(own.comment or "") if own else ""
    return (
        f'<form class="drawer-vote" data-clip="{view.clip.id}" autocomplete="off"><fieldset class="votes"><legend>'
        f'{"Change your vote" if own else "Your vote"}</legend><div class="wrap">{votes}</div></fieldset>'
        '<label>Transcript <textarea name="transcript" rows="1" maxlength="2000">'
        f"{escape(view.text)}</textarea></label>"
        f'<label>Comment <textarea name="comment" rows="1" maxlength="2000">{comment}</textarea></label>'
        '<button type="submit" class="primary">Save vote</button></form>'
    )


def _answers(entries: Sequence[HistoryEntry], labels: LabelSet) -> str:
    if not entries:
        return '<h3>Model</h3><p class="quiet">No answer that you can see yet.</p>'
    rows = "".join(_answer(entry, labels) for entry in reversed(entries))
    return (
        '<h3>Model answers</h3><table class="plain"><thead><tr><th scope="col">Version</th><th scope="col">Answer</th>'
        f'<th scope="col">When</th></tr></thead><tbody>{rows}</tbody></table>'
    )


def _answer(entry: HistoryEntry, labels: LabelSet) -> str:
    given = entry.prediction
    assert given is not None
    answer: Prediction = labels.prediction(given)
    fused = answer.scores["fused"] or {}
    name = entry.version.name if entry.version else str(answer.model_version_id)
    said = (
        f"{icon(answer.label)} {escape(answer.label)} {percent(fused.get(answer.label) or 0.0)}"
        if answer.label
        else "none of these labels"
    )
    return (
        f'<tr><th scope="row"><a href="?tab=train&amp;version={escape(name)}">{as_written(name)}</a></th>'
        f"<td>{said}</td>"
        f'<td class="quiet">{moment(entry.at)}</td></tr>'
    )


def _votes(entries: Sequence[HistoryEntry]) -> str:
    if not entries:
        return '<h3>Votes</h3><p class="quiet">No vote that you can see yet.</p>'
    rows = "".join(_vote_row(entry) for entry in entries)
    return (
        '<h3>Votes</h3><div class="scrolls"><table class="plain history"><thead><tr><th scope="col">When</th>'
        f'<th scope="col">Who</th><th scope="col">What</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _vote_row(entry: HistoryEntry) -> str:
    vote = entry.correction
    assert vote is not None
    seen = {True: " · saw the model’s answer", False: " · did not see the model’s answer", None: ""}
    return (
        f"<tr{' class=retracted' if vote.retracted_at else ''}><td>{moment(entry.at)}</td>"
        f"<td>{as_written(vote.rater)}</td><td>{vote_text(entry)}{seen[vote.answer_shown]}</td></tr>"
    )


def vote_text(entry: HistoryEntry) -> str:
    """Describe a vote as HTML: label, shares, scales, words, comment, time taken."""
    vote = entry.correction
    assert vote is not None
    parts = [f"{icon(vote.label)} {escape(vote.label)}" if vote.label else escape(vote.verdict)]
    if vote.distribution:
        shares = sorted(vote.distribution.items(), key=lambda pair: -pair[1])
        parts.append(", ".join(f"{escape(label)} {percent(share)}" for label, share in shares if share))
    parts += [
        f"{name} {value}"
        for name, value in (("intensity", vote.intensity), ("valence", vote.valence), ("arousal", vote.arousal))
        if value is not None
    ]
    parts += [f"“{as_written(vote.transcript)}”"] if vote.transcript else []
    parts += [f"comment: {as_written(vote.comment)}"] if vote.comment else []
    if vote.seconds is not None:
        hasty = entry.clip is not None and vote.seconds < entry.clip.duration / 2
        parts.append(f"{vote.seconds:.1f} s{', before half of the clip was over' if hasty else ''}")
    return " · ".join(parts) + (" · taken back" if vote.retracted_at else "")


ACTS = (
    ("speaker", "Set speaker …", "import clips"),
    ("consent", "Set consent …", "erase"),
    ("gold", "Mark as gold …", "change settings"),
    ("queue", "Queue again …", "change settings"),
    ("export", "Export …", "export"),
    ("erase", "Erase …", "erase"),
)
"""(act, words of its button, what it asks for, one of `annotations.raters.people.ACTS`)"""


def act_buttons(person: Person) -> str:
    """A button for each change that a person may make to clips; empty if that is none."""
    return "".join(
        f'<button type="button" class="act{" danger" if act == "erase" else ""}" data-act="{act}">{words}</button>'
        for act, words, needed in ACTS
        if person.may(needed)
    )


def _acts(person: Person, view: ClipView) -> str:
    buttons = act_buttons(person)
    if view.own is not None:
        buttons += '<button type="button" class="act" data-act="retract">Take my vote back …</button>'
    if view.withdraws:
        buttons += '<button type="button" class="act danger" data-act="withdraw">Withdraw my consent …</button>'
    return f'<div class="drawer-acts">{buttons}</div>' if buttons else ""
