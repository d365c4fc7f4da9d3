"""Requests of the review tab's script to the server, as plain functions on a real store."""

import base64
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gradio as gr
import pytest

from annotations.raters.people import Access, Person, identify
from annotations.review.filters import QueueFilter
from annotations.store import queries
from annotations.store.settings import change_settings, read_settings
from ser.labels import EMOTIONS
from tests.unit.stored import label_counts, newest_prediction
from ui.backend.services import Services
from ui.parts.calls import run_act
from ui.review.options import to_filter
from ui.review.tab import ReviewHandlers

ANN = gr.Request(session_hash="ann")
Fill = Callable[[int], None]


class Browser:
    """One rater's browser."""

    def __init__(self, services: Services, name: str = "ann", key: str = "") -> None:
        self.acts = ReviewHandlers(services).acts()
        self.who = {"name": name, "key": key or f"key of the rater {name}"}

    def __call__(self, act: str, **given: Any) -> dict[str, Any]:
        return run_act(self.acts, act, {"who": self.who, **given}, ANN)

    def next(self, *exclude: int, **given: Any) -> dict[str, Any]:
        answer = self("next", exclude=list(exclude), **given)["item"]
        assert isinstance(answer, dict)
        return answer

    def vote(self, item: dict[str, Any], vote: str, **given: Any) -> dict[str, Any]:
        fields = {"transcript": item["transcript"], "prediction": item["prediction"], "clip": item["clip"]}
        return self("vote", vote=vote, **{**fields, **given})


@pytest.fixture
def ann(page_services: Services) -> Browser:
    return Browser(page_services)


def blind(services: Services, **changes: Any) -> None:
    change_settings(services.store, replace(read_settings(services.store), **changes), by="mia")


def test_from_the_least_certain_to_the_end(page_services: Services, page_fill: Fill, ann: Browser) -> None:
    page_fill(3)
    entropies = []
    for label in EMOTIONS[:3]:
        item = ann.next(order="least certain")
        prediction = queries.get_prediction(page_services.store, item["prediction"])
        assert prediction is not None
        entropies.append(prediction.entropy)
        assert base64.b64decode(item["audio"])[:4] == b"fLaC"
        assert f"Saved clip {item['clip']}: {label}. The model: {prediction.label}" in ann.vote(item, label)["said"]
    assert entropies == sorted(entropies, reverse=True)
    last = ann("next")
    assert last["item"] is None and last["left"] == 0 and "labelled every stored clip" in last["empty"]
    assert [label_counts(page_services.store)[label] for label in EMOTIONS[:3]] == [1, 1, 1]


def test_clips_are_asked_for_ahead(page_fill: Fill, ann: Browser) -> None:
    page_fill(3)
    first = ann.next()
    second = ann.next(first["clip"])
    third = ann.next(first["clip"], second["clip"])
    assert len({first["clip"], second["clip"], third["clip"]}) == 3
    assert ann("next", exclude=[first["clip"], second["clip"], third["clip"]])["item"] is None


def test_all_that_a_vote_can_say(page_services: Services, page_fill: Fill, ann: Browser) -> None:
    page_fill(1)
    given = {"intensity": 70, "valence": 25, "arousal": 100, "comment": " two people ", "seconds": 3.4}
    ann.vote(ann.next(), "fear", distribution={"fear": 3, "anger": 1}, answer_shown=True, transcript="so", **given)
    vote = queries.history(page_services.store)[0].correction
    assert vote is not None and (vote.label, vote.transcript, vote.comment) == ("fear", "so", "two people")
    assert (vote.intensity, vote.valence, vote.arousal, vote.seconds, vote.answer_shown) == (70, 25, 100, 3.4, True)
    assert vote.distribution is not None and vote.distribution["fear"] == pytest.approx(0.75)


def test_a_vote_sent_twice_is_stored_once(page_services: Services, page_fill: Fill, ann: Browser) -> None:
    page_fill(1)
    item = ann.next()
    answers = [ann.vote(item, "fear", nonce="abc") for _ in range(2)]
    assert answers[0] == answers[1]
    assert len(queries.history(page_services.store)) == 1


def test_blind_keeps_the_answer_on_the_server(page_services: Services, page_fill: Fill, ann: Browser) -> None:
    page_fill(2)
    assert 'class="bars"' in ann.next()["answer"]
    blind(page_services, blind=True)
    item = ann.next()
    assert item["answer"] == "" and 'class="bars"' not in item["card"] and ann("open")["blind"] is True
    assert "The model:" in ann.vote(item, "fear", answer_shown=True)["said"], "revealed once the vote stands"
    vote = queries.history(page_services.store)[0].correction
    assert vote is not None and vote.answer_shown is False, "whatever the browser claims"


def test_undo_gives_the_vote_back_with_its_clip(page_services: Services, page_fill: Fill, ann: Browser) -> None:
    page_fill(2)
    item = ann.next()
    ann.vote(item, "fear", intensity=30, comment="hm")
    back = ann("undo", clips=[])
    assert back["clip"] == item["clip"] and back["item"]["card"] == item["card"]
    assert (back["vote"]["vote"], back["vote"]["intensity"], back["vote"]["comment"]) == ("fear", 30, "hm")
    assert sum(label_counts(page_services.store).values()) == 0
    assert "no vote left to undo" in ann("undo")["error"]
    ann.vote(item, "skip")
    assert ann("undo", clips=[item["clip"]])["item"] is None, "the browser has it still"


def test_two_raters_never_get_the_same_clip_where_one_vote_is_enough(
    page_services: Services, page_fill: Fill, ann: Browser
) -> None:
    page_fill(6)
    blind(page_services, overlap=1)
    bob = Browser(page_services, "bob")
    seen: dict[str, list[int]] = {"ann": [], "bob": []}
    for _ in range(3):
        for browser in (ann, bob):
            item = browser.next()
            seen[browser.who["name"]].append(item["clip"])
    assert not set(seen["ann"]) & set(seen["bob"])
    held = seen["ann"][0]
    assert ann("renew", clips=[held])["kept"] == [held]
    assert bob("renew", clips=[held])["kept"] == []
    ann("release", clips=[held])
    assert bob("renew", clips=[held])["kept"] == [held]


def test_order_and_filters(page_services: Services, page_fill: Fill, ann: Browser) -> None:
    page_fill(4)
    labels = {newest_prediction(page_services.store, number).label for number in range(1, 5)}  # type: ignore[union-attr]
    label = sorted(labels)[0]
    item = ann.next(filters={"label": label, "text": " "}, order="oldest")
    assert newest_prediction(page_services.store, item["clip"]).label == label  # type: ignore[union-attr]
    nothing = ann("next", filters={"source": "elsewhere"})
    assert nothing["item"] is None and "No more clips match these filters" in nothing["empty"]
    assert "expected a number" in ann("next", filters={"min_duration": "long"})["error"]
    assert "disagree yet" in ann("next", order="most disputed")["note"]


def test_what_annotators_and_visitors_may(page_services: Services, page_fill: Fill) -> None:
    page_fill(1)
    annotator = Browser(replace(page_services, access=Access(role_without_login="annotator")))
    assert "rater" not in [field["name"] for field in annotator("open")["filters"]]
    assert "ann may not see other people's votes" in annotator("next", filters={"rater": "bob"})["error"]
    visitor = Browser(replace(page_services, access=Access(role_without_login="visitor")))
    for act in ("open", "next", "undo", "release", "renew"):
        assert "sign in first" in visitor(act)["error"]
    assert "sign in first" in visitor("vote", clip=1, vote="fear")["error"]
    assert queries.history(page_services.store) == []


def test_a_name_is_one_browsers(page_services: Services, page_fill: Fill, ann: Browser) -> None:
    page_fill(2)
    identify(page_services.store, page_services.access, "ann", login=False, key="another browser", claim=True)
    assert "belongs to somebody else" in ann("next")["error"]


def test_wrong_votes_are_refused_with_a_sentence(page_services: Services, page_fill: Fill, ann: Browser) -> None:
    page_fill(1)
    assert "expected one of anger" in ann("vote", clip=1, vote="joy")["error"]
    assert "no clip 77" in ann("vote", clip=77, vote="fear")["error"]
    assert "700" in ann("vote", clip=1, vote="fear", intensity=700)["error"]
    assert "not known here" in ann("dance")["error"]
    assert queries.history(page_services.store) == []


def test_a_missing_recording_does_not_stop_the_queue(page_services: Services, page_fill: Fill, ann: Browser) -> None:
    page_fill(1)
    os.remove(page_services.store.clip_path(page_services.store.get_clip(1)))
    item = ann.next()
    assert item["audio"] is None and "is missing" in item["card"]
    assert "Saved clip 1: skip." in ann.vote(item, "skip")["said"]


def test_suspected_label_errors_can_be_filtered() -> None:
    maintainer = Person("ann", "maintainer")
    assert to_filter({"suspected": "yes"}, maintainer) == QueueFilter(suspected=True)
    assert to_filter({"suspected": ""}, maintainer) == QueueFilter()
