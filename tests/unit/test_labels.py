"""Label sets: files, mapping of votes and answers, and all that follows the set of a store."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from annotations.cli import main
from annotations.errors import InvalidSettingError, InvalidVoteError
from annotations.exchange.exports.exporting import FORMATS, export_store
from annotations.exchange.imports.importing import import_sources
from annotations.exchange.imports.options import ImportOptions
from annotations.insights import compute_insights
from annotations.labels.colours import SURFACE_DARK, SURFACE_LIGHT, contrast_ratio
from annotations.labels.files import parse_labels, read_label_file, to_plain, to_toml
from annotations.labels.label_set import DEFAULT, LabelSet
from annotations.labels.stored import change_label_set, label_set, list_label_sets, votes_outside
from annotations.raters.agreement import agreement_by_label
from annotations.raters.ratings import read_ratings
from annotations.raters.reliability import agree
from annotations.raters.votes import effective_corrections, feedback_summary, gold_labels, mark_gold, training_examples
from annotations.review.filters import QueueFilter
from annotations.review.queue import queue_length
from annotations.store import AnnotationStore, NewVote
from ser.labels import EMOTIONS
from tests.unit.stored import recording, write_wav
from tests.unit.test_ui_recognize import analyse, save
from tests.unit.test_ui_review import Browser
from ui.api.votes import VoteHandlers
from ui.backend.services import Services
from ui.parts.palette import label_choices, palette_css
from ui.parts.presentation import answer_card, bars

Fill = Callable[[int], None]

SERVICE = """
[[labels]]
name = "satisfied"
means = "happiness"
names = { de = "zufrieden" }

[[labels]]
name = "annoyed"
means = ["anger", "disgust"]

[[labels]]
name = "confused"

[[labels]]
name = "in distress"
means = ["fear", "sadness"]
key = "x"
"""


def labels_of(*rows: dict[str, object], **mapping: str) -> LabelSet:
    return parse_labels({"labels": list(rows), "mapping": mapping})


@pytest.fixture
def service() -> LabelSet:
    return parse_labels(
        {
            "labels": [
                {"name": "satisfied", "means": "happiness", "names": {"de": "zufrieden"}},
                {"name": "annoyed", "means": ["anger", "disgust"]},
                {"name": "confused"},
                {"name": "in distress", "means": ["fear", "sadness"]},
            ]
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> AnnotationStore:
    return AnnotationStore(tmp_path / "data")


def vote(store: AnnotationStore, seed: int, rater: str, label: str, labels: LabelSet = DEFAULT) -> int:
    clip = store.add_clip(recording(seed), source="import", consent=("research", "training"))
    store.add_correction(clip.id, NewVote(rater, "correct", label, label_set=labels.names))
    return clip.id


# Files


def test_a_file_is_read_and_written_back(tmp_path: Path, service: LabelSet) -> None:
    path = tmp_path / "labels.toml"
    path.write_text(to_toml(service), encoding="utf-8")
    assert read_label_file(path) == service
    assert [label.key for label in service] == ["1", "2", "3", "4"]
    assert parse_labels(to_plain(DEFAULT)) == DEFAULT


def test_colours_are_chosen_apart_and_readable() -> None:
    many = labels_of(*({"name": f"label {number}"} for number in range(20)))
    assert len({(label.light, label.dark) for label in many}) == 20
    assert min(contrast_ratio(label.light, SURFACE_LIGHT) for label in many) >= 3
    assert min(contrast_ratio(label.dark, SURFACE_DARK) for label in many) >= 3


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"name": "calm"}], "has 1 labels; expected 2 to 20"),
        ([{"name": f"l{n}"} for n in range(21)], "has 21 labels|key"),
        ([{"name": "Calm"}, {"name": "calm "}], "name 'calm' is that of 2 labels"),
        ([{"name": "calm", "key": "c"}, {"name": "cold", "key": "C"}], "key 'c' is that of 2"),
        ([{"name": "calm", "key": "s"}, {"name": "cold"}], "key of 'calm' is 's'; expected one of"),
        ([{"name": "calm", "means": "rage"}, {"name": "cold"}], "'calm' means 'rage'; expected some of anger"),
        ([{"name": "calm", "light": "#ffff00"}, {"name": "cold"}], "contrast to #ffffff is 1.07:1"),
        ([{"name": "calm", "light": "red"}, {"name": "cold"}], "expected one like #0072b2"),
        ([{"name": "unsure"}, {"name": "cold"}], "none of unsure, skip"),
        ([{"name": "<b>"}, {"name": "cold"}], "name of a label is '<b>'"),
        ([{"name": "calm", "colour": "#767676"}, {"name": "cold"}], "field 'colour'; expected some of name, key"),
        ({"calm": {}}, "no list of tables named 'labels'"),
    ],
)
def test_what_cannot_be_a_set_is_refused_with_a_reason(rows: object, said: str) -> None:
    with pytest.raises(InvalidSettingError, match=said):
        parse_labels({"labels": rows})


def test_no_toml_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "labels.toml"
    path.write_text("[[labels]\nname=", encoding="utf-8")
    with pytest.raises(InvalidSettingError, match="cannot be read as TOML: .*line 1"):
        read_label_file(path)


# Votes


def test_a_store_without_a_set_has_the_seven(store: AnnotationStore) -> None:
    assert label_set(store) == DEFAULT and label_set(store).is_default
    with pytest.raises(InvalidVoteError, match="expected one of anger"):
        NewVote("ann", "correct", "calm")


def test_votes_are_mapped_on_reading_and_come_back(store: AnnotationStore, service: LabelSet) -> None:
    clips = [vote(store, seed, "ann", label) for seed, label in enumerate(("anger", "disgust", "sadness", "surprise"))]
    before = effective_corrections(store)
    change_label_set(store, service, by="mia")
    assert [given.label for given in effective_corrections(store)] == ["annoyed", "annoyed", "in distress", None]
    assert votes_outside(store) == {"surprise": 1} == feedback_summary(store).outside
    assert feedback_summary(store).labels == {"satisfied": 0, "annoyed": 2, "confused": 0, "in distress": 1}
    assert [example.clip.id for example in training_examples(store)] == clips[:3]
    mapped = LabelSet(service.labels, {"surprise": "confused"})
    change_label_set(store, mapped, by="mia")
    assert effective_corrections(store)[-1].label == "confused" and not votes_outside(store)
    change_label_set(store, DEFAULT, by="mia")
    assert effective_corrections(store) == before
    assert [(len(change.labels), change.by) for change in list_label_sets(store)] == [(n, "mia") for n in (7, 4, 4)]


def test_mappings_are_carried_over_to_the_next_set(store: AnnotationStore) -> None:
    vote(store, 0, "ann", "anger")
    change_label_set(store, labels_of({"name": "tense"}, {"name": "calm"}, anger="tense"), by="mia")
    vote(store, 1, "ann", "calm", label_set(store))
    change_label_set(store, labels_of({"name": "stressed"}, {"name": "relaxed"}, tense="stressed"), by="mia")
    assert [given.label for given in effective_corrections(store)] == ["stressed", None]
    assert votes_outside(store) == {"calm": 1}


def test_distributions_and_known_answers_are_mapped(store: AnnotationStore, service: LabelSet) -> None:
    clip = store.add_clip(recording(), source="import", consent=("training",))
    shares = {"anger": 50, "disgust": 25, "surprise": 25}
    store.add_correction(clip.id, NewVote("ann", "correct", distribution=shares))
    mark_gold(store, clip.id, "fear", by="mia")
    change_label_set(store, service, by="mia")
    assert training_examples(store)[0].soft_label == {"annoyed": 1.0}
    assert gold_labels(store) == {clip.id: "in distress"}
    mark_gold(store, clip.id, "confused", by="mia")
    with pytest.raises(InvalidVoteError, match="expected one of satisfied, annoyed"):
        mark_gold(store, clip.id, "fear", by="mia")


def test_agreement_and_reliability_are_over_the_set(store: AnnotationStore, service: LabelSet) -> None:
    clips = [vote(store, seed, "ann", "anger") for seed in range(6)]
    for seed in range(6):
        vote(store, seed, "bob", "disgust" if seed else "fear")
    change_label_set(store, service, by="mia")
    ratings = read_ratings(store)
    assert ratings.labels == service.names and ratings.shares.shape == (12, 4)
    assert set(agreement_by_label(ratings, resamples=0)) == set(service.names)
    assert agree(ratings, {clips[0]: "annoyed"}).soft_labels[clips[1]]["annoyed"] > 0.9
    found = compute_insights(store)
    assert found.labels == service.names and found.mistaken.shape == (4, 4)
    assert [clip.votes for clip in found.disputed] == [{"annoyed": 1, "in distress": 1}]


# Answers


def test_an_answer_over_the_seven_is_mapped(service: LabelSet) -> None:
    seven = dict.fromkeys(EMOTIONS, 0.0) | {"anger": 0.3, "disgust": 0.1, "happiness": 0.2, "neutral": 0.2, "fear": 0.2}
    scores = service.scores(seven)
    assert scores == pytest.approx({"satisfied": 0.25, "annoyed": 0.5, "confused": None, "in distress": 0.25})
    assert service.most_probable(seven) == "annoyed"
    extended = labels_of(*({"name": name} for name in (*EMOTIONS, "calm")), {"name": "frustration", "means": "anger"})
    spread = extended.scores(seven)
    assert spread["anger"] == spread["frustration"] == pytest.approx(0.15) and spread["calm"] is None
    nothing = labels_of({"name": "yes"}, {"name": "no"})
    assert nothing.scores(seven) == {"yes": None, "no": None} and nothing.most_probable(seven) is None
    assert service.scores({"annoyed": 0.25, "confused": 0.75})["confused"] == 0.75


def test_the_default_set_changes_no_answer() -> None:
    scores = {"fear": 0.75, "anger": 0.25}
    assert DEFAULT.scores(scores) == scores and DEFAULT.shares(scores) == scores
    answer: dict[str, object] = {"label": "fear", "fused": scores}
    assert DEFAULT.answer(answer) is answer


def test_page_and_programs_see_the_set(
    page_services: Services, page_cache: Path, page_fill: Fill, service: LabelSet
) -> None:
    page_fill(2)
    change_label_set(page_services.store, service, by="mia")
    browser = Browser(page_services)
    item = browser("next")["item"]
    assert "not trained yet" in item["answer"] and "in distress" in item["answer"]
    saved = browser.vote(item, "in distress")
    assert "Saved clip" in saved["said"]
    assert "expected one of satisfied" in browser.vote(item, "anger")["error"]
    analysed = analyse(page_services, page_cache)
    card = answer_card(analysed.recognition, service)
    assert "not trained yet" in card and "surprise" not in card.split('class="transcript')[0]
    assert "annoyed" in str(save(page_services, analysed, vote="annoyed").status)
    handlers = VoteHandlers(page_services)
    listed = handlers.labels()
    assert [row["name"] for row in listed["labels"]] == list(service.names)  # type: ignore[attr-defined]
    next_item, _ = handlers.next_clip("bob")
    assert next_item is not None
    prediction = next_item["prediction"]
    assert prediction["label"] in service.names and prediction["scores"]["fused"]["confused"] is None  # type: ignore[index]
    json.dumps(next_item)


def test_a_set_that_the_model_knows_nothing_of_says_so(page_services: Services, page_cache: Path) -> None:
    nothing = labels_of({"name": "yes"}, {"name": "no"})
    change_label_set(page_services.store, nothing, by="mia")
    analysed = analyse(page_services, page_cache)
    card = answer_card(analysed.recognition, nothing)
    assert "Not trained yet" in card and card.count(">not trained yet<") == 2
    assert "yes" in str(save(page_services, analysed, vote="yes").status)


def test_the_queue_filters_by_labels_of_the_set(page_services: Services, page_fill: Fill, service: LabelSet) -> None:
    page_fill(6)
    store = page_services.store
    stored_labels = [row["label"] for row in store.fetch("SELECT label FROM predictions")]
    change_label_set(store, service, by="mia")
    for label, means in (("annoyed", {"anger", "disgust"}), ("in distress", {"fear", "sadness"}), ("confused", set())):
        assert queue_length(store, "ann", QueueFilter(label=label)) == sum(name in means for name in stored_labels)


def test_buttons_keys_and_colours(service: LabelSet) -> None:
    assert label_choices(service)[3:] == [("4 in distress", "in distress"), ("U unsure", "unsure")]
    css = palette_css(service)
    assert "--emotion-in-distress:" in css and 'input[value="in distress"]' in css and "--emotion-anger:" in css
    assert "--vote-columns:5" in css and "--vote-columns" not in palette_css()
    assert bars(None, texts=service.texts("de")).count("<li") == 4


# Imports and exports


def test_a_table_is_imported_by_name_translation_and_meaning(tmp_path: Path, service: LabelSet) -> None:
    source = tmp_path / "corpus"
    rows = ["file_name,label"]
    for seed, label in enumerate(("Satisfied", "zufrieden", "angry", "in distress", "surprise")):
        write_wav(source / f"{seed}.wav", seed)
        rows.append(f"{seed}.wav,{label}")
    (source / "metadata.csv").write_text("\n".join(rows), encoding="utf-8")
    with AnnotationStore(tmp_path / "data") as store:
        change_label_set(store, service, by="mia")
        report = import_sources(store, [source], ImportOptions(consent=("research",), labels=True))
        given = [vote.label for vote in effective_corrections(store)]
    assert sorted(map(str, given)) == ["annoyed", "in distress", "satisfied", "satisfied"]
    assert dict(report.unknown_labels) == {"surprise": 1}


@pytest.mark.parametrize("form", FORMATS)
def test_every_export_has_the_labels_of_the_set(tmp_path: Path, form: str, service: LabelSet) -> None:
    with AnnotationStore(tmp_path / "data") as store:
        vote(store, 0, "ann", "anger")
        vote(store, 1, "ann", "surprise")
        change_label_set(store, service, by="mia")
        vote(store, 2, "ann", "confused", service)
        out = tmp_path / f"out.{form}"
        export_store(store, form, out)
    card = next(tmp_path.rglob("*README.md")).read_text(encoding="utf-8")
    assert "| annoyed | 1 | 1 |" in card and "without a place in the label set | | 1 |" in card
    assert read_label_file(_block(card, tmp_path)) == service
    if form in ("audiofolder", "jsonl", "parquet"):
        with AnnotationStore(tmp_path / "again") as again:
            change_label_set(again, service, by="mia")
            import_sources(again, [out], ImportOptions())
            assert [vote.label for vote in effective_corrections(again)] == ["annoyed", None, "confused"]


def _block(card: str, folder: Path) -> Path:
    path = folder / "block.toml"
    path.write_text(card.split("```toml\n")[1].split("```")[0], encoding="utf-8")
    return path


# Command


def test_the_command_shows_changes_and_maps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, path = str(tmp_path / "data"), tmp_path / "labels.toml"
    path.write_text(SERVICE, encoding="utf-8")
    with AnnotationStore(tmp_path / "data") as store:
        vote(store, 0, "ann", "surprise")
    assert main(["--data-dir", data, "labels"]) == 0
    assert 'name = "anger"' in capsys.readouterr().out
    assert main(["--data-dir", data, "labels", str(path)]) == 1
    said = capsys.readouterr().out
    assert "4 labels: satisfied, annoyed, confused, in distress." in said
    assert "Map them with --map 'surprise=...'" in said
    assert "knows nothing of 'confused'" in said
    assert main(["--data-dir", data, "labels", "--map", "surprise=confused", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mapping"] == {"surprise": "confused"}
    assert main(["--data-dir", data, "labels", "--map", "surprise=rage"]) == 2
    assert "which is no label of the set" in capsys.readouterr().err
    main(["--data-dir", data, "labels"])
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    assert main(["--data-dir", data, "labels", str(path)]) == 0
    assert main(["--data-dir", data, "labels", "--default"]) == 0
    with AnnotationStore(tmp_path / "data") as store:
        assert label_set(store).is_default
