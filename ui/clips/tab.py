"""The clips tab: a table of all stored clips with search, filters and changes to many; and the drawer for one.

What stands in the table is drawn here, asked for by `assets/clips.js` with what the page's address says.
"""

from collections.abc import Mapping

import gradio as gr

from annotations.errors import ClipNotFoundError
from annotations.raters.disclosure import own_consents, own_picture, visible_clip_history
from annotations.raters.people import Person
from annotations.raters.votes import gold_labels
from annotations.review.clip_filters import ClipFilter
from annotations.review.table import find_clips, read_rows
from annotations.store import queries
from annotations.store.records import Clip, Correction, HistoryEntry
from ser.errors import SerError
from ser.wording import counted
from ui.backend.identity import person
from ui.backend.services import Services
from ui.clips import rows as clip_rows
from ui.clips.acts import Changes
from ui.clips.cues import SourceCues
from ui.clips.drawer import ClipView, act_buttons, described, drawer
from ui.clips.drawer import shell as drawer_shell
from ui.clips.options import fields, to_filter, to_order
from ui.parts.calls import Act, Given, fields_of, whole_number, whole_numbers
from ui.parts.player import broken, player


class ClipsHandlers:
    """Requests of the browser to the server, one method each."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.changes = Changes(services)
        self.cues = SourceCues(services.store, lambda audio: services.recognizer.detector.detect(audio))

    def acts(self) -> dict[str, Act]:
        """{name: method} for `ui.parts.calls`."""
        return {
            "clips": self.on_find,
            "clips_fields": self.on_fields,
            "clip": self.on_clip,
            "clip_cues": self.on_cues,
            "clips_ask": self.on_ask,
            "clips_do": self.on_do,
            "clips_job": self.on_job,
            "clips_stop": self.on_stop,
        }

    def on_fields(self, given: Given, request: gr.Request) -> dict[str, object]:
        """The tab came to the front: filters, orders and changes that this person may use."""
        looking = self._person(given, request)
        reviews = looking.may("review stored clips")
        orders = [
            order
            for order in clip_rows.MORE_ORDERS
            if order[0] != "-dispute" or looking.may("see other people's votes")
        ]
        return {
            "fields": fields(self.services.store, looking) if reviews else [],
            "orders": orders if reviews else [],
            "acts": act_buttons(looking),
            "reviews": reviews,
        }

    def on_find(self, given: Given, request: gr.Request) -> dict[str, object]:
        """One page of the clips that filters let through."""
        looking = self._person(given, request)
        asked = fields_of(given, "filters")
        order, descending = to_order(given.get("order"))
        found = find_clips(self.services.store, looking, to_filter(asked), order=order, descending=descending)
        pages = max(1, -(-len(found) // clip_rows.PAGE))
        page = min(max(1, whole_number(given, "page", 1)), pages)
        ids = found[(page - 1) * clip_rows.PAGE : page * clip_rows.PAGE].tolist()
        rows = read_rows(self.services.store, looking, ids)
        sign = "-" if descending else ""
        if not rows:
            html = clip_rows.NOTHING_FITS if any(asked.values()) else clip_rows.EMPTY
        else:
            html = clip_rows.table(rows, sign + order, selects=bool(act_buttons(looking)))
        versions = {str(version.id): version.name for version in queries.list_versions(self.services.store)}
        first = (page - 1) * clip_rows.PAGE + 1
        last = first + len(ids) - 1
        return {
            "html": html,
            "chips": clip_rows.chips(asked, versions),
            "ids": ids,
            "total": len(found),
            "page": page,
            "pages": pages,
            "order": sign + order,
            "said": f"{first:,} to {last:,} of {counted(len(found), 'clip')}" if ids else "",
        }

    def on_clip(self, given: Given, request: gr.Request) -> dict[str, object]:
        """All about one clip that the person may see."""
        looking = self._person(given, request)
        clip = self._visible(looking, whole_number(given, "clip"))
        entries = visible_clip_history(self.services.store, looking, clip.id)
        view = self._view(clip, entries, looking)
        own = view.own
        return {
            "clip": clip.id,
            "title": f"Clip {clip.id}",
            "html": drawer(view, self._player(clip), self.services.labels, looking),
            "own": own
            and {
                "label": own.label,
                "distribution": own.distribution,
                "intensity": own.intensity,
                "valence": own.valence,
                "arousal": own.arousal,
            },
            "answered": any(entry.prediction for entry in entries if entry.correction is None),
            "prediction": next((e.prediction.id for e in reversed(entries) if e.prediction and not e.correction), None),
        }

    def on_cues(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Describe how the voice of a clip differs from what is usual for its source."""
        clip = self._visible(self._person(given, request), whole_number(given, "clip"))
        return {"said": self.cues.describe(clip)}

    def on_ask(self, given: Given, request: gr.Request) -> dict[str, object]:
        """A change was chosen: count what it does, and ask."""
        asking = self._person(given, request)
        act = str(given.get("act"))
        if given.get("all"):
            asking.require("review stored clips")
            chosen = find_clips(self.services.store, asking, to_filter(fields_of(given, "filters"))).tolist()
        else:
            chosen = list(dict.fromkeys(whole_numbers(given, "clips")))
        return self.changes.ask(act, asking, chosen)

    def on_do(self, given: Given, request: gr.Request) -> dict[str, object]:
        """The question was confirmed: begin."""
        doing = self._person(given, request)
        return {"job": self.changes.do(str(given.get("token")), fields_of(given, "values"), doing)}

    def on_job(self, given: Given, request: gr.Request) -> dict[str, object]:
        """Return the progress of a change, or its outcome."""
        number = str(given.get("job"))
        job = self.services.jobs.get(number, self._person(given, request).name)
        return {
            "state": job.state,
            "done": job.done,
            "total": job.total,
            "message": job.message,
            "lines": job.lines,
            "html": job.html,
            "file": number if job.file is not None and job.state == "done" else None,
        }

    def on_stop(self, given: Given, request: gr.Request) -> dict[str, object]:
        """End an act before its end."""
        self.services.jobs.get(str(given.get("job")), self._person(given, request).name).stop.set()
        return {"stopped": True}

    def _person(self, given: Given, request: gr.Request) -> Person:
        return person(self.services, request, given.get("who"))

    def _visible(self, looking: Person, clip_id: int) -> Clip:
        if not looking.may("review stored clips"):
            own = find_clips(self.services.store, looking, ClipFilter(clips=(clip_id,)))
            if not len(own):
                raise ClipNotFoundError(f"Clip {clip_id} is none of yours, or was erased: you may not see it.")
        return self.services.store.get_clip(clip_id)

    def _view(self, clip: Clip, entries: list[HistoryEntry], looking: Person) -> ClipView:
        store = self.services.store
        (row,) = store.fetch(
            "SELECT original_name, original_label, text FROM clips LEFT JOIN clip_texts ON clip_id = id WHERE id = ?",
            (clip.id,),
        )
        manages = looking.may("change settings")
        gold = gold_labels(store).get(clip.id) if manages else None
        original = row["original_label"] if manages else None
        return ClipView(
            clip,
            described(clip, row["original_name"], original, gold),
            entries,
            _own_vote(entries, looking),
            row["text"] or "",
            looking.proved and bool(own_consents(store, looking.name, clip.id)),
            own_picture(store, looking, clip.id),
        )

    def _player(self, clip: Clip) -> str:
        try:
            path = self.services.store.clip_path(clip)
            return player(path, clip.duration, f"Clip {clip.id}")
        except SerError as error:
            return broken(str(error))
        except (OSError, RuntimeError):  # What libsndfile raises on a damaged file is a RuntimeError.
            return broken(f"The recording of clip {clip.id} is damaged. Run `python -m annotations check`.")


def _own_vote(entries: list[HistoryEntry], looking: Person) -> Correction | None:
    votes = [entry.correction for entry in entries if entry.correction is not None]
    mine = [vote for vote in votes if vote.rater == looking.name and vote.retracted_at is None]
    return mine[-1] if mine and looking.proved else None


def build_clips_tab(services: Services) -> Mapping[str, Act]:
    """Lay out the tab.

    Args:
        services: the domain.

    Returns:
        What its script asks of the server, for `ui.parts.calls.build_calls`.
    """
    gr.HTML(SHELL, elem_id="clips", apply_default_css=False)
    return ClipsHandlers(services).acts()


def build_drawer() -> None:
    """Lay out the drawer, which opens over any tab."""
    gr.HTML(drawer_shell(), elem_id="drawer", apply_default_css=False)


SHELL = (
    '<div id="clips-shell"><div class="clips-bar"><div class="clips-scope" role="group" aria-label="Which clips">'
    '<button type="button" data-scope="" aria-pressed="true">All clips</button>'
    '<button type="button" data-scope="mine" aria-pressed="false">My labels</button>'
    '<button type="button" data-scope="unsure" aria-pressed="false">My unsure</button></div>'
    '<label class="clips-search"><span class="announcer">Search in words, comments and file names</span>'
    '<input type="search" id="clips-text" placeholder="Search words, comments, file names" autocomplete="off"></label>'
    '<label class="order">Order <select id="clips-order"></select></label>'
    '<details id="clips-filters"><summary>Filters</summary><div class="filter-fields"></div></details></div>'
    '<div id="clips-chips"></div>'
    '<div class="clips-acts" hidden><span class="chosen" role="status"></span>'
    '<button type="button" class="choose-all"></button><span class="buttons"></span>'
    '<button type="button" class="choose-none">Clear selection</button></div>'
    '<div id="clips-job" role="status"></div><p class="status gentle" role="alert" id="clips-trouble"></p>'
    '<div id="clips-table" class="panel"><p class="quiet">Looking for clips …</p></div>'
    '<nav class="clips-pages" aria-label="Pages" hidden><button type="button" data-go="first" aria-label="First page">«'
    '</button><button type="button" data-go="back">Previous</button><span class="where" role="status"></span>'
    '<label>Page <input type="number" min="1" id="clips-page" aria-label="Page"></label> <span class="of"></span>'
    '<button type="button" data-go="on">Next</button><button type="button" data-go="last" aria-label="Last page">»'
    "</button></nav></div>"
)
"""The tab before it was opened."""
