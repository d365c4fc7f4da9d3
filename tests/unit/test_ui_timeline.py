"""Feeling over time on the page, as functions: built, corrected, saved as clips with a parent, exported."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
import soundfile
from fastapi import Request

from annotations.errors import StoreError
from annotations.exchange.exports.exporting import export_store
from annotations.exchange.imports.importing import ImportOptions, import_sources
from annotations.labels.label_set import Label, LabelSet, emotion_label
from annotations.labels.stored import change_label_set
from annotations.maintenance.erasure.erase import erase_clip, erase_recording
from annotations.raters.people import Access
from annotations.raters.votes import effective_corrections
from annotations.store import AnnotationStore
from annotations.store.new_records import Parent
from ser.audio.decoding import decode_file
from ser.errors import SerError
from ser.language_model.client import load_language_model
from ser.language_model.opinion import SecondOpinion
from ser.testing import synthetic_speech
from ser.timeline.formats import FORMATS
from ser.types import SAMPLING_RATE
from tests.unit.language_models import chat_server
from tests.unit.stored import list_clips
from ui.backend.limits import Limits, TooMuchError
from ui.backend.services import Services
from ui.timeline.panel import TimelineHandlers

ANN = gr.Request(session_hash="ann")
WHO = {"name": "ann", "key": "a key of twenty chars"}


def talk(folder: Path, seconds: float = 70.0) -> str:
    path = folder / "hash" / "talk.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    pause = np.zeros(SAMPLING_RATE, np.float32)
    parts = [
        np.concatenate([synthetic_speech(3.0, pitch=110.0 + 40 * seed, seed=seed).signal, pause]) for seed in range(5)
    ]
    soundfile.write(path, np.resize(np.concatenate(parts), round(seconds * SAMPLING_RATE)), SAMPLING_RATE)
    return str(path)


@pytest.fixture
def shown(page_services: Services, page_cache: Path) -> tuple[TimelineHandlers, dict[str, Any], Path]:
    """Handlers that have drawn a timeline, its values as the script reads them, and the recording."""
    handlers, path = TimelineHandlers(page_services), talk(page_cache)
    *_, drawn = handlers.on_timeline(path, "auto", "off", ANN)
    found = re.search('data-timeline="([^"]*)"', drawn)
    assert found is not None
    return handlers, json.loads(unescape(found[1])), Path(path)


def given(values: dict[str, Any], regions: list[dict[str, Any]], **others: object) -> dict[str, Any]:
    return {"token": values["token"], "regions": regions, "consent": ["research"], "who": WHO, **others}


def test_the_script_gets_what_it_draws(shown: tuple[TimelineHandlers, dict[str, Any], Path]) -> None:
    _, values, path = shown
    assert values["duration"] == pytest.approx(70.0) and values["path"] == str(path) and values["regions"]
    assert {"start", "end", "label", "scores", "unsure", "transcript", "speaker"} <= set(values["regions"][0])
    assert [one["key"] for one in values["labels"]] == [*"1234567", "u"] and values["wave"].startswith("M")


def test_corrected_regions_become_clips_of_their_own(
    shown: tuple[TimelineHandlers, dict[str, Any], Path], page_services: Services, tmp_path: Path
) -> None:
    handlers, values, path = shown
    region = {**values["regions"][0], "label": "fear", "start": 0.5, "end": 2.5}
    unsure = {"start": 4.0, "end": 6.0, "label": "unsure"}
    saved = handlers.save(given(values, [region, unsure], speaker="Kim"), ANN)
    store = page_services.store
    assert store.find_clip(decode_file(path, max_duration=100.0).sha256) is None, "it is kept only if that is asked"
    clips = {clip.id: clip for clip in list_clips(store)}
    assert sorted(saved["clips"]) == sorted(clips) and len(clips) == 2  # type: ignore[call-overload]
    whole = decode_file(path, max_duration=100.0)
    first = next(clip for clip in clips.values() if clip.parent_start == 0.5)
    assert (first.parent_sha256, first.parent_end, first.speaker) == (whole.sha256, 2.5, "Kim")
    assert first.sha256 == whole.crop(0.5, 2.5).sha256 and first.consent == ("research",)
    votes = {vote.clip_id: vote for vote in effective_corrections(store)}
    assert votes[first.id].label == "fear" and {vote.verdict for vote in votes.values()} >= {"unsure"}

    export_store(store, "jsonl", tmp_path / "out.jsonl", "research")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {(row["parent_sha256"], row["parent_start"], row["parent_end"]) for row in rows} == {
        (whole.sha256, 0.5, 2.5),
        (whole.sha256, 4.0, 6.0),
    }
    with AnnotationStore(tmp_path / "other") as other:
        import_sources(other, [tmp_path / "out.jsonl"], ImportOptions())
        assert {clip.parent_sha256 for clip in list_clips(other)} == {whole.sha256}
        assert erase_recording(other, whole.sha256, by="ann").clips == 2 and list_clips(other) == []
        with pytest.raises(SerError, match="No clip is of the recording"):
            erase_recording(other, whole.sha256, by="ann")
        for row in ("csv", "parquet", "audformat", "labelstudio"):
            export_store(store, row, tmp_path / row, "research")

    handlers.save(given(values, [region], keep=True), ANN)
    kept = store.find_clip(whole.sha256)
    assert kept is not None and kept.source == "whole recording" and kept.consent == ("research",)
    assert erase_clip(store, kept.id, by="ann").clips == 3 and list_clips(store) == []


def test_a_vote_has_the_words_that_a_person_wrote_and_no_others(
    shown: tuple[TimelineHandlers, dict[str, Any], Path], page_services: Services
) -> None:
    handlers, values, _ = shown
    model = {**values["regions"][0], "label": "fear", "start": 0.5, "end": 2.5, "transcript": "words of the timeline"}
    person = {**model, "start": 4.5, "end": 6.5, "transcript": "words of a person", "written": True}
    saved = handlers.save(given(values, [model, person]), ANN)["clips"]
    words = {vote.clip_id: vote.transcript for vote in effective_corrections(page_services.store)}
    assert isinstance(saved, list) and [words[clip] for clip in saved] == [None, "words of a person"]


def test_a_hundred_regions_are_saved_at_once_within_the_limits_of_an_annotator(
    page_services: Services, page_cache: Path
) -> None:
    limits = Limits(clock=lambda: 0.0)
    services = replace(page_services, access=Access(role_without_login="annotator"), limits=limits)
    scope = {"type": "http", "headers": [], "client": ("203.0.113.9", 1), "query_string": b"", "path": "/"}
    handlers, bob = TimelineHandlers(services), gr.Request(Request(scope), session_hash="bob")
    *_, drawn = handlers.on_timeline(talk(page_cache), "auto", "off", bob)
    values = json.loads(unescape(drawn.split('data-timeline="')[1].split('"')[0]))
    regions = [{"start": 0.5 + 0.6 * at, "end": 0.9 + 0.6 * at, "label": "fear"} for at in range(100)]
    saved = [handlers.save(given(values, regions[at : at + 10]), bob)["clips"] for at in range(0, 100, 10)]
    assert all(isinstance(clips, list) and len(clips) == 10 for clips in saved)
    with pytest.raises(TooMuchError, match="recognitions a minute"):
        for at in range(30):
            handlers.save(given(values, regions[at : at + 1]), bob)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"start": 1.0, "end": 80.0, "label": "fear"}, "the recording has 70.0 s"),
        ({"start": 1.0, "end": 1.2, "label": "fear"}, "at least 0.3 s are needed"),
        ({"start": 1.0, "end": 2.0, "label": "joy"}, "expected one of anger"),
        ({"start": "1", "end": 2.0, "label": "fear"}, "expected seconds"),
        ({"start": 0.0, "end": 65.0, "label": "fear"}, "Split it first"),
        ("fear", "expected {name: value}"),
    ],
)
def test_regions_that_cannot_be_are_refused_and_nothing_is_stored(
    shown: tuple[TimelineHandlers, dict[str, Any], Path], page_services: Services, region: Any, message: str
) -> None:
    handlers, values, _ = shown
    with pytest.raises(SerError, match=message):
        handlers.save(given(values, [region]), ANN)
    assert list_clips(page_services.store) == []


def test_nothing_is_saved_without_consent_or_of_what_is_gone(
    shown: tuple[TimelineHandlers, dict[str, Any], Path], page_services: Services
) -> None:
    handlers, values, path = shown
    region = {"start": 1.0, "end": 3.0, "label": "fear"}
    with pytest.raises(SerError, match="tick what the regions may be used for"):
        handlers.save(given(values, [region], consent=[]), ANN)
    with pytest.raises(SerError, match="not remembered"):
        handlers.save({**given(values, [region]), "token": "guessed"}, ANN)
    page_services.uploads.release("ann")
    assert not path.exists(), "the session has let go of its upload"
    with pytest.raises(SerError, match="talk.wav was let go"):
        handlers.save(given(values, [region]), ANN)
    assert list_clips(page_services.store) == []


def test_a_store_of_its_own_labels_has_them_on_the_timeline_in_votes_and_in_exports(
    page_services: Services, page_cache: Path
) -> None:
    calm = Label("calm", "1", "#1b6ca8", "#6cb4e8", ("neutral", "sadness"))
    tense = Label("in distress", "2", "#b3261e", "#f2958f", ("anger", "fear", "disgust"))
    change_label_set(page_services.store, LabelSet((calm, tense, emotion_label("happiness", "3"))), by="mia")
    handlers, path = TimelineHandlers(page_services), talk(page_cache)
    *_, drawn = handlers.on_timeline(path, "auto", "off", ANN)
    found = re.search('data-timeline="([^"]*)"', drawn)
    assert found is not None
    values = json.loads(unescape(found[1]))
    names = ["calm", "in distress", "happiness"]
    assert [one["name"] for one in values["labels"]] == [*names, "unsure"]
    assert {region["label"] for region in values["regions"]} <= set(names)
    assert all(sum(region["scores"].values()) == pytest.approx(1.0) for region in values["regions"])
    said = drawn.partition("Of the speech: ")[2]
    assert said.split(" ")[0] in ("calm", "in", "happiness")
    chosen = next(name for name in names[1:] if name != values["regions"][0]["label"])
    regions = [{**values["regions"][0], "label": chosen, "end": 2.0}]
    table = str(handlers.export(given(values, regions, format="csv"), ANN)["text"]).splitlines()
    assert table[0].endswith(",calm,in distress,happiness") and f",{chosen},1.0," in table[1]
    for form in sorted(set(FORMATS) - {"turns"}):
        assert chosen in str(handlers.export(given(values, regions, format=form), ANN)["text"]), form
    plain = json.loads(str(handlers.export(given(values, [], format="json"), ANN)["text"]))
    assert {region["label"] for region in plain["regions"]} <= set(names) and set(plain["summary"]) <= set(names)
    handlers.save(given(values, regions), ANN)
    (vote,) = effective_corrections(page_services.store)
    assert vote.label == chosen


def test_a_region_is_read_after_the_words_of_those_before_it(
    shown: tuple[TimelineHandlers, dict[str, Any], Path], page_services: Services
) -> None:
    handlers, values, _ = shown
    with chat_server() as server:
        page_services.recognizer.opinion = SecondOpinion(load_language_model(server.url))
        for start, words in ((60.0, 2), (0.5, 1)):
            handlers.save(given(values, [{"start": start, "end": start + 2.0, "label": "fear"}]), ANN)
            asked = server.requests[-1]["messages"][-1]["content"]
            assert (asked.count("what a wonderful day") >= 2) == (words == 2), asked


def test_exports_hold_the_regions_as_a_person_left_them(shown: tuple[TimelineHandlers, dict[str, Any], Path]) -> None:
    handlers, values, _ = shown
    regions = [{**values["regions"][0], "label": "fear", "end": 2.0}]
    written = handlers.export(given(values, regions, format="audacity"), ANN)
    assert written["name"] == "talk.wav.txt" and "2.000000\t[fear]" in str(written["text"])
    (task,) = json.loads(str(handlers.export(given(values, regions, format="labelstudio"), ANN)["text"]))
    value = task["predictions"][0]["result"][0]["value"]
    assert value["labels"] == ["fear"] and value["end"] == 2.0
    whole = json.loads(str(handlers.export(given(values, [], format="json"), ANN)["text"]))
    assert len(whole["regions"]) == len(values["regions"])
    with pytest.raises(SerError, match="expected one of json, csv"):
        handlers.export(given(values, regions, format="doc"), ANN)


def test_what_is_too_long_for_the_page_names_the_command(page_services: Services, page_cache: Path) -> None:
    *_, said = TimelineHandlers(page_services).on_timeline(talk(page_cache, 15 * 60 + 5.0), "auto", "off", ANN)
    assert "python -m ser timeline" in said and "15:05" in said


def test_a_parent_lies_where_it_can() -> None:
    with pytest.raises(StoreError, match="64 hexadecimal digits"):
        Parent("abc", 0.0, 1.0)
    with pytest.raises(StoreError, match="an end after it"):
        Parent("a" * 64, 2.0, 1.0)
