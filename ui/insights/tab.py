"""The insights tab: what the votes show, read when the tab is opened."""

from typing import NamedTuple

import gradio as gr

from annotations.insights import InsightsDesk
from ui.backend.identity import Who, person
from ui.backend.services import Services
from ui.insights import cards as insights_cards
from ui.insights.agreement import agreement_card, raters_card
from ui.parts.errors import shows_errors
from ui.parts.player import clip_players

LISTENED = 6
"""Clips to listen to; each brings its sound with it."""

SAVING = (
    '<span class="saving"><button type="button" data-save="csv">CSV</button>'
    '<button type="button" data-save="png">PNG</button></span>'
)
"""Buttons of a card; its tables and its picture are made in the browser."""

WAITING = '<p class="quiet">Reading the votes …</p>'


class Form(NamedTuple):
    """Outputs filled when the tab is opened; filled with components it is the list of outputs."""

    summary: object = ""
    agreement: object = ""
    time: object = ""
    model: object = ""
    groups: object = ""
    raters: object = ""
    disputed: object = ""


class InsightsHandlers:
    """Events of this tab, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.desk = InsightsDesk(services.store)

    def on_open(self, who: Who, request: gr.Request) -> Form:
        """The tab came to the front. Others' votes and the disputed clips are for maintainers."""
        visitor = person(self.services, request, who)
        everybody = visitor.may("see other people's votes")
        reviews = visitor.may("review stored clips")
        found = self.desk.look()
        if not found.votes:
            return Form(*[gr.update(value="", visible=False)] * len(Form._fields))._replace(
                summary=insights_cards.summary_card(found, everybody, reviews)
            )
        raters = found.raters if everybody else [rater for rater in found.raters if rater.rater == visitor.name]
        listed = found.disputed[:LISTENED]
        shown = (
            insights_cards.disputed_card(
                found.disputed,
                {clip.clip_id: "" for clip in listed} | clip_players(self.services.store, listed),
                found.labels,
            )
            if everybody
            else insights_cards.hidden_card()
        )
        return Form(
            SAVING + insights_cards.summary_card(found, everybody, reviews),
            *(  # The panels are hidden until there is something in them.
                gr.update(value=SAVING + card if "<table" in card else card, visible=bool(card))
                for card in (
                    agreement_card(found, everybody),
                    insights_cards.time_card(found, everybody),
                    insights_cards.model_card(found, everybody),
                    insights_cards.groups_card(found, everybody) if reviews else "",
                    raters_card(raters, everybody=everybody, pairs=found.pairs, haste=found.haste),
                    shown,
                )
            ),
        )


def build_insights_tab(services: Services, tab: gr.Tab, who: gr.BrowserState) -> None:
    """Lay out the tab and connect its event; `tab` loads everything when it is opened.

    Args:
        services: the domain.
        tab: this one.
        who: what the browser says of itself.
    """
    handlers = InsightsHandlers(services)

    def panel(name: str, text: str = "") -> gr.HTML:
        return gr.HTML(
            text, elem_id=f"insights-{name}", elem_classes="panel insights", apply_default_css=False, visible=bool(text)
        )

    summary = panel("summary", WAITING)
    with gr.Row(equal_height=False, elem_classes="columns"):
        with gr.Column(scale=1, min_width=320):
            agreement = panel("agreement")
        with gr.Column(scale=1, min_width=320):
            time = panel("time")
            model = panel("model")
            raters = panel("raters")
    groups = panel("groups")
    disputed = panel("disputed")
    tab.select(
        shows_errors(handlers.on_open),
        who,
        list(Form(summary, agreement, time, model, groups, raters, disputed)),
        show_progress="hidden",
        api_visibility="private",
    )
