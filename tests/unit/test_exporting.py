import io
import json
import re
import xml.etree.ElementTree as ElementTree

import pyarrow.parquet as pq
import pytest
import soundfile
import yaml
from huggingface_hub import HfApi

from annotations.cli import main
from annotations.errors import ExchangeError
from annotations.exchange.exports.exporting import FORMATS, export_store
from annotations.exchange.exports.publishing import SHARD, publish
from annotations.exchange.registry import list_exports
from annotations.maintenance.erasure.erase import erase_clip
from annotations.store import AnnotationStore, NewVote
from ser.labels import EMOTIONS
from tests.unit.hub_stand_in import TOKEN, hub_stand_in
from tests.unit.stored import answer, recording


@pytest.fixture
def store(tmp_path):
    with AnnotationStore(tmp_path / "store") as opened:
        version = opened.ensure_base_version("embedded", "a" * 64)
        for seed in range(3):
            clip = opened.add_clip(
                recording(seed),
                source="page",
                speaker=f"speaker {seed % 2}",
                consent=("research", "publication") if seed else ("research",),
            )
            shown = opened.add_prediction(clip.id, answer("fear"), version.id)
            opened.add_correction(
                clip.id, NewVote("ann", "correct", label="fear", intensity=60, transcript="hello", seconds=3.5)
            )
            opened.add_correction(clip.id, NewVote("bob", "accept", label="fear"), prediction_id=shown.id)
            opened.add_correction(clip.id, NewVote("cid", "skip"))
            opened.add_correction(clip.id, NewVote("dan", "unsure"))
        opened.add_correction(3, NewVote("eve", "correct", label="anger"))
        opened.undo_last_correction("eve")
        yield opened


def test_audformat_itself_reads_the_tables(store, tmp_path):
    audformat = pytest.importorskip("audformat")
    export_store(store, "audformat", tmp_path / "db")
    database = audformat.Database.load(str(tmp_path / "db"))
    files = database["files"].get()
    assert list(files["emotion"]) == ["fear"] * 3
    assert list(files["raters"]) == [2, 2, 2]
    assert list(files["speaker"]) == ["speaker 0", "speaker 1", "speaker 0"]
    votes = database["votes"].get()
    assert len(votes) == 13
    assert list(votes["intensity"].dropna()) == [60, 60, 60]
    assert set(votes["emotion"].dropna()) == {"fear", "anger"}
    assert set(database.schemes["emotion"].labels) == set(EMOTIONS)
    assert all((tmp_path / "db" / name).is_file() for name in database.files)


def test_label_studio_tasks_have_the_documented_form(store, tmp_path):
    export_store(store, "labelstudio", tmp_path / "tasks.json")
    tasks = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    config = ElementTree.parse(tmp_path / "tasks_labels.xml").getroot()
    controls = {element.get("name"): element.tag.lower() for element in config}
    assert len(tasks) == 3
    for task in tasks:
        assert (tmp_path / task["data"]["audio"].removeprefix("/data/local-files/?d=")).is_file()
        assert len(task["annotations"]) == 4 and len(task["predictions"]) == 1
        for part in (*task["annotations"], *task["predictions"]):
            for region in part["result"]:
                assert controls[region["from_name"]] == region["type"]
                assert (
                    region["to_name"] == "audio" and region["type"] in region["value"] or region["type"] == "textarea"
                )
    first = tasks[0]["annotations"][0]
    assert first["result"][0]["value"] == {"choices": ["fear"]}
    assert first["result"][1]["value"] == {"text": ["hello"]}
    assert first["result"][2]["value"] == {"number": 60}
    assert (first["lead_time"], first["was_cancelled"]) == (3.5, False)
    assert [annotation["was_cancelled"] for annotation in tasks[0]["annotations"]] == [False, False, True, False]
    assert tasks[0]["predictions"][0]["model_version"] == "embedded"
    assert tasks[0]["predictions"][0]["score"] == pytest.approx(0.4)


@pytest.mark.parametrize("form", FORMATS)
def test_every_form_comes_with_a_card_that_names_nobody(store, tmp_path, form):
    export_store(store, form, tmp_path / "out", licence="cc-by-4.0")
    folder = form in ("audiofolder", "audformat")
    card = (tmp_path / "out" / "README.md" if folder else tmp_path / "out_README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(card.split("---")[1])
    assert header["license"] == "cc-by-4.0"
    assert "| fear | 3 | 6 |" in card
    assert "| research | 3 |\n| training | 0 |\n| publication | 2 |" in card
    assert "Known speakers: 2;" in card and "that 5 raters named" in card
    assert not any(name in card for name in ("bob", "cid", "speaker 0"))
    assert "All votes say the same" in card


def test_the_card_says_how_far_raters_agree(store, tmp_path):
    store.add_correction(2, NewVote("eve", "correct", label="anger"))
    export_store(store, "csv", tmp_path / "out.csv")
    card = (tmp_path / "out_README.md").read_text(encoding="utf-8")
    assert re.search(r"Krippendorff's alpha on the label is -?\d\.\d\d \[-?\d\.\d\d, -?\d\.\d\d\] over the 3", card)


def test_an_export_to_the_hub_is_private_and_holds_what_may_be_published(store):
    with hub_stand_in() as hub:
        report = publish(store, "lab/voices", licence="cc-by-4.0", api=HfApi(endpoint=hub.url, token=TOKEN))
        assert hub.unknown == []
    assert report.published == f"{hub.url}/datasets/lab/voices"
    assert (report.clips, report.without_consent) == (2, 1)
    assert hub.private == {"lab/voices": True}
    files = hub.files["lab/voices"]
    assert {SHARD, "README.md"} <= files.keys()
    rows = pq.read_table(io.BytesIO(files[SHARD])).to_pylist()
    assert [row["sha256"] for row in rows] == [recording(1).sha256, recording(2).sha256]
    assert soundfile.info(io.BytesIO(rows[0]["audio"]["bytes"])).samplerate == 16_000
    assert (
        yaml.safe_load(files["README.md"].decode().split("---")[1])["configs"][0]["data_files"][0]["split"] == "train"
    )
    # An erasure cannot reach it, and says so.
    erased = erase_clip(store, 2, by="ann")
    assert "The data set lab/voices was published with it" in erased.elsewhere[0]


def test_voices_are_not_put_into_a_data_set_that_everybody_sees(store):
    with hub_stand_in() as hub:
        hub.private["lab/voices"], hub.files["lab/voices"] = False, {}
        api = HfApi(endpoint=hub.url, token=TOKEN)
        with pytest.raises(ExchangeError, match="is there already and everybody can see it; nothing was uploaded"):
            publish(store, "lab/voices", api=api)
        assert hub.files["lab/voices"] == {}
        assert publish(store, "lab/voices", private=False, api=api).clips == 2


def test_a_refusal_of_the_hub_is_reported(store):
    with hub_stand_in() as hub, pytest.raises(ExchangeError, match="The Hub refuses to take lab/voices"):
        publish(store, "lab/voices", api=HfApi(endpoint=hub.url, token="hf_stranger"))
    assert list_exports(store) == []


def test_without_a_network_nothing_is_published(store, monkeypatch, capsys):
    monkeypatch.setattr("annotations.exchange.exports.publishing.hub_reachable", lambda: False)
    assert main(["--data-dir", str(store.data_dir), "export", "--push-to-hub", "lab/voices"]) == 2
    assert "The Hub cannot be reached from here" in capsys.readouterr().err
    assert main(["--data-dir", str(store.data_dir), "export", "--format", "csv"]) == 2
    assert "Name a --format and a place with --out" in capsys.readouterr().err
