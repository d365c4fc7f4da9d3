"""Versions on their way to the Hub and back, against a server of our own."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi

from annotations.errors import ExchangeError, StoreError
from annotations.learning.versions.card import write_card
from annotations.learning.versions.hub import pull_version, push_version
from annotations.learning.versions.registry import list_entries, promote_version
from annotations.store import AnnotationStore
from annotations.store.records import ModelVersion
from ser.acoustic.classifier import load_acoustic_model
from ser.acoustic.model import HeadModel
from ser.errors import ModelUnavailableError
from ser.testing import synthetic_speech
from tests.unit.hub_stand_in import TOKEN, HubStandIn, hub_stand_in
from tests.unit.labelled_store import write_base
from tests.unit.stored import add_version


@pytest.fixture
def hub() -> Iterator[HubStandIn]:
    with hub_stand_in() as server:
        yield server


@pytest.fixture
def api(hub: HubStandIn) -> HfApi:
    return HfApi(endpoint=hub.url, token=TOKEN)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head that was really trained."""
    return write_base(tmp_path_factory.mktemp("model") / "model", clips=8)


def load(target: str, location: str) -> HeadModel:
    assert target == "acoustic"
    loaded = load_acoustic_model(location)
    assert isinstance(loaded, HeadModel)
    return loaded


def register(folder: Path, model: Path) -> tuple[AnnotationStore, ModelVersion]:
    store = AnnotationStore(folder)
    store.ensure_base_version("embedded", "e" * 64)
    (folder / "models" / "v2").mkdir(parents=True)
    for path in model.iterdir():
        (folder / "models" / "v2" / path.name).write_bytes(path.read_bytes())
    (folder / "models" / "v2" / "notes.pt").write_bytes(b"not to travel")
    sha256 = json.loads((model / "meta.json").read_text())["sha256"]
    return store, add_version(store, "v2", sha256, {"after": {"uar": 0.6}})


def test_a_version_goes_out_and_comes_back_as_one_that_can_be_promoted(
    hub: HubStandIn, api: HfApi, model: Path, tmp_path: Path
) -> None:
    store, version = register(tmp_path / "here", model)
    write_card(store, version, licence="cc-by-4.0")
    published = push_version(store, version, "me/voices", api=api)
    assert published.private and hub.private == {"me/voices": True} and published.url.endswith("/me/voices")
    sent = hub.files["me/voices"]
    assert {"head.safetensors", "meta.json", "README.md", "version.json"} <= sent.keys()
    assert not any(name.endswith(".pt") for name in sent)
    assert b"license: cc-by-4.0" in sent["README.md"]

    there = AnnotationStore(tmp_path / "there")
    there.ensure_base_version("embedded", "e" * 64)
    pulled = pull_version(there, "me/voices", load=load, api=api)
    assert (pulled.name, pulled.sha256, pulled.path) == ("voices", version.sha256, "models/voices")
    assert pulled.lineage["origin"] == {"repository": "me/voices", "commit": hub.heads["me/voices"], "name": "v2"}
    assert list_entries(there)[0].decision == "not compared"
    with pytest.raises(StoreError, match="was not compared with the current one"):
        promote_version(there, pulled, by="ann")
    assert promote_version(there, pulled, by="ann", reason="tried by hand").overrides
    assert there.active_version() == pulled
    audio = synthetic_speech(0.9, seed=77)
    assert load("acoustic", str(there.data_dir / "models/voices")).classify(audio) == load(
        "acoustic", str(model)
    ).classify(audio)
    again = pull_version(there, "me/voices", load=load, api=api)
    assert again.name == "voices-2"
    assert not list((there.data_dir / "models").glob(".*")) and hub.unknown == []


def test_what_arrives_damaged_is_no_version(hub: HubStandIn, api: HfApi, model: Path, tmp_path: Path) -> None:
    store, version = register(tmp_path, model)
    push_version(store, version, "me/voices", api=api)
    weights = hub.files["me/voices"]["head.safetensors"]
    hub.files["me/voices"]["head.safetensors"] = weights[:-4] + b"\0\0\0\1"
    with pytest.raises(ModelUnavailableError, match="damaged or was replaced"):
        pull_version(store, "me/voices", load=load, api=api)
    meta = json.loads(hub.files["me/voices"]["meta.json"])
    hub.files["me/voices"]["head.safetensors"] = weights
    hub.files["me/voices"]["meta.json"] = json.dumps({**meta, "labels": ["joy"] * len(meta["labels"])}).encode()
    with pytest.raises(ModelUnavailableError, match="its labels are joy"):
        pull_version(store, "me/voices", load=load, api=api)
    assert [entry.version.name for entry in list_entries(store)] == ["v2", "embedded"]
    assert [path.name for path in (store.data_dir / "models").iterdir()] == ["v2"]


def test_weights_in_another_form_are_not_even_got(hub: HubStandIn, api: HfApi, tmp_path: Path) -> None:
    hub.files["them/pickled"], hub.private["them/pickled"] = {"pytorch_model.bin": b"x", "config.json": b"{}"}, False
    with pytest.raises(ExchangeError, match="can run foreign code"):
        pull_version(AnnotationStore(tmp_path), "them/pickled", load=load, api=api)


def test_nothing_goes_where_everybody_sees_it_unless_that_is_wanted(
    hub: HubStandIn, api: HfApi, model: Path, tmp_path: Path
) -> None:
    store, version = register(tmp_path, model)
    hub.files["me/open"], hub.private["me/open"] = {}, False
    with pytest.raises(ExchangeError, match="everybody can see it; nothing was uploaded"):
        push_version(store, version, "me/open", api=api)
    assert hub.files["me/open"] == {}
    assert not push_version(store, version, "me/open", private=False, api=api).private


def test_refusals_are_said_in_a_sentence(hub: HubStandIn, model: Path, tmp_path: Path) -> None:
    store, version = register(tmp_path, model)
    stranger = HfApi(endpoint=hub.url, token="hf_stranger")
    with pytest.raises(ExchangeError, match="The Hub refuses to take me/voices"):
        push_version(store, version, "me/voices", api=stranger)
    with pytest.raises(ExchangeError, match="does not give out me/nothing"):
        pull_version(store, "me/nothing", load=load, api=stranger)
    with pytest.raises(ExchangeError, match="nothing of it to publish"):
        push_version(store, store.get_model_version(1), "me/voices", api=stranger)
