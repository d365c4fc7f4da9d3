import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest

from annotations.insights import DisputedClip, InsightsDesk, Period, compute_insights, draw_clips, gather_periods
from annotations.raters.agreement import Agreement, pairwise_kappa
from annotations.raters.people import Person
from annotations.raters.ratings import Ratings, read_ratings
from annotations.raters.reliability import RaterReliability
from annotations.raters.votes import mark_gold
from annotations.review.table import find_clips
from annotations.store import AnnotationStore, NewVote
from ser.labels import EMOTIONS
from tests.unit.stored import answer, recording
from ui.clips.options import to_filter, to_order
from ui.insights.agreement import agreement_card, raters_card
from ui.insights.cards import disputed_card, groups_card, model_card, summary_card, time_card
from ui.insights.charts import heat_table, stacked_periods


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnnotationStore]:
    """Three clips: agreed, disputed, labelled once by somebody and unsure by another."""
    with AnnotationStore(tmp_path) as opened:
        version = opened.ensure_base_version("embedded", "a" * 64)
        clips = [opened.add_clip(recording(seed), source="page").id for seed in range(4)]
        for clip in clips[:2]:
            opened.add_prediction(clip, answer("fear"), version.id)
        votes = {"ann": ("fear", "anger", "sadness"), "bob": ("fear", "neutral", None)}
        for rater, labels in votes.items():
            for clip, label in zip(clips, labels, strict=False):
                opened.add_correction(
                    clip, NewVote(rater, "correct" if label else "unsure", label=label, intensity=50 if label else None)
                )
        mark_gold(opened, clips[0], "fear", by="ann")
        yield opened


def test_everything_is_counted(store: AnnotationStore) -> None:
    found = compute_insights(store)
    assert (found.clips, found.labelled, found.several, found.votes, found.unsure) == (4, 3, 2, 5, 1)
    assert sum(sum(period.labels.values()) for period in found.periods) == 5
    assert found.agreement.clips == 2
    assert found.scales["intensity"].alpha is None
    assert found.scales["valence"].clips == 0
    (disputed,) = found.disputed
    assert disputed.votes == {"anger": 1, "neutral": 1}
    assert disputed.model == "fear"
    fear = EMOTIONS.index("fear")
    assert found.model[fear, fear] == 2
    assert found.model.sum() == 4
    ann, bob = found.raters
    assert (ann.rater, ann.votes, ann.gold_right, ann.gold_total) == ("ann", 3, 1, 1)
    assert bob.votes == 2
    assert not found.sampled
    (page,) = found.groups["source"]
    assert (page.name, page.votes, page.compared, page.agreed) == ("page", 5, 4, 2) and not found.groups["speaker"]
    assert [result.clips for result in found.over_time] == [2]


def test_the_desk_looks_again_only_after_a_change(store: AnnotationStore) -> None:
    desk = InsightsDesk(store)
    first = desk.look()
    assert desk.look() is first
    store.undo_last_correction("ann")
    assert desk.look().votes == 4
    store.add_clip(recording(9), source="page")
    assert desk.look().clips == 5


def test_many_votes_are_sampled_by_whole_clips(store: AnnotationStore) -> None:
    clips = np.repeat(np.arange(500), 3)
    ratings = Ratings(clips, clips % 2, ("ann", "bob"), np.eye(7)[clips % 7], np.zeros(1500, dtype=bool), {})
    drawn = draw_clips(ratings, 300)
    assert 290 <= len(drawn) <= 300
    assert (np.unique(drawn.clips, return_counts=True)[1] == 3).all()
    assert draw_clips(ratings, 1500) is ratings
    everything = read_ratings(store)
    sampled = compute_insights(store, sample=len(everything) - 1)
    assert sampled.sampled
    assert sampled.votes == 5


def test_periods_are_few_and_without_gaps() -> None:
    days = [("2026-01-01", "fear", 1), ("2026-03-01", "anger", 2), ("2026-03-01", "fear", 1)]
    periods = gather_periods(days)
    assert len(periods) <= 12
    assert periods[0].first == "2026-01-01"
    assert periods[-1].last == "2026-03-01"
    assert periods[0].labels == {"fear": 1}
    assert periods[-1].labels == {"anger": 2, "fear": 1}
    assert gather_periods([]) == []


def test_cards_say_in_words_and_numbers_what_they_draw(store: AnnotationStore) -> None:
    found = compute_insights(store)
    assert "of 4 clips labelled" in summary_card(found)
    assert 'aria-valuenow="75"' in summary_card(found)
    card = agreement_card(found)
    assert f"<strong>{found.agreement.alpha:.2f}</strong>" in card
    assert "intensity" in card
    assert "valence" not in card
    assert "People and model agree on 50\xa0% of 4 votes." in model_card(found)
    assert "numbers as a table" in time_card(found)


def test_every_number_leads_to_the_clips_behind_it(store: AnnotationStore) -> None:
    for clip_id in (1, 2):
        for rater, label in (("cid", "fear"), ("dan", "sadness" if clip_id == 1 else "fear")):
            store.add_correction(clip_id, NewVote(rater, "correct", label=label, intensity=40, seconds=0.1))
    mark_gold(store, 1, "fear", by="ann")
    found = compute_insights(store)
    pairs = pairwise_kappa(read_ratings(store), least=2)
    cards = [card(found, True) for card in (agreement_card, time_card, model_card, groups_card)]
    cards += [summary_card(found, True, True), disputed_card(found.disputed, {}, found.labels)]
    cards.append(raters_card(found.raters, everybody=True, pairs=pairs, haste=found.haste))
    chief = Person("chief", "maintainer", proved=True)
    links = re.findall(r'<a href="\?(tab=clips[^"]*)"[^>]*>(.*?)</a>', "".join(cards))
    assert len(links) > 80
    for address, shown in links:
        asked = dict(parse_qsl(unescape(address)))
        order, descending = to_order(asked.pop("order", None))
        del asked["tab"]
        clips = find_clips(store, chief, to_filter(asked), order=order, descending=descending)
        assert len(clips), f"{shown} leads to nothing by {asked}"
        if set(asked) == {"rater", "other_rater"} and shown.isdigit():
            assert len(clips) == int(shown)


def test_an_empty_store_is_explained(tmp_path: Path) -> None:
    with AnnotationStore(tmp_path) as empty:
        found = compute_insights(empty)
    assert "No votes yet" in summary_card(found)
    assert found.agreement == Agreement(None, None, None, None, 0, 0)
    assert "no clip has votes of two people" in agreement_card(found)


def test_names_are_escaped_and_raters_ordered_by_votes() -> None:
    raters = [RaterReliability("<b>", 3, 0.5, (0.2, 0.8)), RaterReliability("bob", 9, 0.4, (0.3, 0.5), 2, 3)]
    card = raters_card(raters, everybody=True)
    assert card.index("bob") < card.index("&lt;b&gt;")
    assert "<b>" not in card
    assert "2 of 3" in card
    assert "given no label" in raters_card([], everybody=False)


def test_a_disputed_clip_whose_file_is_gone_says_so() -> None:
    clip = DisputedClip(7, {"fear": 2, "anger": 1}, None)
    labels = ("anger", "fear")
    assert "recording is missing" in disputed_card([clip], {7: ""}, labels)
    assert "PLAYER" in disputed_card([clip], {7: "PLAYER"}, labels)
    unheard = disputed_card([clip], {}, labels)
    assert "missing" not in unheard and '<a href="?clip=7">7</a></th><td>1</td><td>2</td>' in unheard
    assert "disagreed on a clip" in disputed_card([], {}, labels)


def test_tables_of_shares_show_percent_and_dashes() -> None:
    counts = np.zeros((7, 7))
    counts[0, 0], counts[0, 1] = 3, 1
    table = heat_table(counts, corner="one", caption="two")
    assert ">75</td>" in table
    assert ">25</td>" in table
    assert table.count("<td>–</td>") == 42


def test_columns_are_as_high_as_their_votes() -> None:
    drawing = stacked_periods(
        [Period("2026-01-01", "2026-01-01", {"fear": 4}), Period("2026-01-02", "2026-01-02", {"fear": 2})]
    )
    heights = [float(part.split('"')[0]) for part in drawing.split('height="')[1:]]
    assert heights[0] == pytest.approx(2 * heights[1], abs=0.1)
    assert "4 votes" in drawing


def test_numbers_lead_to_their_clips_for_who_may_see_them(store: AnnotationStore) -> None:
    store.add_correction(1, NewVote("bob", "correct", label="fear", seconds=0.1))
    found = compute_insights(store)
    assert (found.haste["bob"].timed, found.haste["bob"].hasty) == (1, 1) and "ann" not in found.haste
    shown = raters_card(found.raters, everybody=True, haste=found.haste)
    assert '<a href="?tab=clips&amp;rater=bob&amp;hasty=yes">1 of 1</a>' in shown
    assert '<a href="?tab=clips&amp;voted=anger&amp;label=fear">' in model_card(found, links=True)
    for card in (summary_card, agreement_card, time_card, model_card, groups_card):
        assert "<a " not in card(found) and "<a " in card(found, links=True)
