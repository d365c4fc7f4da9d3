"""The review tab as it stands before the first clip: bar, place of the clip, fields of a vote. Pure HTML.

What happens in it is in `assets/review*.js`, and on the server in `ui.review.tab`.
"""

from annotations.labels.label_set import DEFAULT, LabelSet
from ui.parts.palette import NO_TEXTS, Texts, css_class, icon, label_choices
from ui.parts.presentation import escape
from ui.review.manikins import scale


def shell(labels: LabelSet = DEFAULT) -> str:
    """The whole tab, with a button for each label of the store."""
    return (
        '<div id="review-shell">'
        + _bar()
        + '<div class="review-columns"><section id="review-card" class="panel waiting-clip" tabindex="-1" '
        'aria-label="Clip">'
        '<div class="empty-queue"><h3>Looking for a clip …</h3></div></section>'
        + _form(labels)
        + '</div><div id="review-live" class="announcer" aria-live="polite" aria-atomic="true"></div></div>'
    )


def _bar() -> str:
    return (
        '<div class="review-bar"><div id="review-progress"><p class="progress-line">…</p></div>'
        '<label class="order">Order <select id="review-order"></select></label>'
        '<details id="review-filters"><summary>Filters <span class="badge" hidden></span></summary>'
        '<div class="filter-fields"></div></details>'
        '<label id="review-blind" title="B"><input type="checkbox"> Hide model answer</label>'
        '<label id="review-quick"><input type="checkbox"> Save on key press</label>'
        '<button type="button" id="guidelines-button">Guidelines <kbd>G</kbd></button>'
        '<button type="button" id="keys-button">Keys <kbd>?</kbd></button><p id="review-note" class="quiet"></p></div>'
    )


def vote_fields(labels: LabelSet, texts: Texts = NO_TEXTS) -> str:
    """A button for each vote."""
    return "".join(
        f'<label><input type="radio" name="review-vote" value="{value}"><span>{escape(text)}</span></label>'
        for text, value in label_choices(labels, texts)
    )


def share_fields(labels: LabelSet, texts: Texts = NO_TEXTS) -> str:
    """A slider for the share of each label."""
    return "".join(
        f'<label class="share {css_class(label)}">{icon(label)}<span>{escape(text)}</span>'
        f'<input type="range" name="{label}" min="0" max="100" value="0" aria-label="share of {escape(text)}">'
        "<output>–</output></label>"
        for label, text in ((name, texts.get(name, name)) for name in labels.names)
    )


def _form(labels: LabelSet) -> str:
    return (
        '<form id="review-form" class="panel resting" aria-label="Vote" autocomplete="off"><div class="review-thumb">'
        '<fieldset id="review-vote" class="votes" disabled><legend>What do you hear?</legend>'
        f'<div class="wrap">{vote_fields(labels)}</div></fieldset>'
        '<div class="save-row"><button type="button" id="review-undo" disabled>Undo <kbd>Z</kbd></button>'
        '<button type="button" id="review-skip" disabled>Skip <kbd>S</kbd></button>'
        '<button type="button" id="review-save" class="primary" disabled>Save, next <kbd>⏎</kbd></button></div>'
        '<p id="review-status" class="status" role="status"></p></div>'
        '<label id="review-transcript">Transcript <kbd>E</kbd>'
        '<textarea name="transcript" rows="1" placeholder="what was said" maxlength="2000" disabled></textarea></label>'
        + _more(labels)
        + "</form>"
    )


def _more(labels: LabelSet) -> str:
    return (
        '<details id="review-more" inert><summary>More: intensity, mixed emotions, valence, arousal, comment '
        "<kbd>D</kbd>"
        "</summary>"
        '<label class="slider">Intensity <input type="range" name="intensity" min="0" max="100" value="50">'
        '<output>–</output><button type="button" class="reset" data-resets="intensity">clear</button></label>'
        + scale("valence", "How pleasant? (valence)")
        + scale("arousal", "How energetic? (arousal)")
        + '<fieldset class="shares"><legend>Mixed emotions (percent) '
        '<button type="button" class="reset" data-resets="shares">clear</button></legend><div class="share-fields">'
        + share_fields(labels)
        + '</div></fieldset><label class="comment">Comment<textarea name="comment" rows="2" maxlength="2000" '
        'placeholder="noise, two people, sarcasm …"></textarea></label></details>'
    )
