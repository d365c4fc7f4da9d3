"""The store elsewhere on the Hub: a data set of a server that speaks its HTTP; the real one where a token is given."""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import HfApi, constants

from annotations.elsewhere.places import open_place
from annotations.elsewhere.saver import Saver, connect
from annotations.errors import ElsewhereError, TakenOverError
from annotations.maintenance.erasure.erase import erase_clip, erase_rater
from annotations.store import AnnotationStore, NewVote
from ser.errors import SettingsError
from tests.unit.elsewhere_stores import RATER, SECRET, begin, contents, do_everything, joined, rebuilt, save_vote
from tests.unit.forked_workers import wait_for
from tests.unit.hub_stand_in import TOKEN, TROUBLES, HubStandIn, hub_stand_in
from ui.backend.server import parse_arguments
from ui.operations.doctor import _elsewhere

URL = "hf://datasets/me/studio"
NAME = "me/studio"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubStandIn]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub_stand_in() as server:
        # What HF_ENDPOINT and HF_HUB_DISABLE_XET say to a new process.
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        server.large = (".flac", ".db", ".safetensors")
        yield server


def found(hub: HubStandIn, *needles: str | bytes) -> bool:
    wanted = [needle.encode() if isinstance(needle, str) else needle for needle in needles]
    return any(one in part for part in hub.everything(NAME) for one in wanted)


def test_a_private_data_set_keeps_everything_and_forgets_what_was_erased(hub: HubStandIn, tmp_path: Path) -> None:
    server = parse_arguments(["--data-dir", str(tmp_path / "a"), "--store", URL], {})
    assert [one.said for one in _elsewhere(server, {})] == [f"{URL} answers, and holds no store yet."]
    with begin(tmp_path / "a") as store:
        copier = joined(store, URL)
        copier.save()
        assert [one.said.split(" written")[0] for one in _elsewhere(server, {})] == [f"{URL} answers, last"]
        do_everything(store, tmp_path)
        copier.save()
        save_vote(store, 4)
        copier.save()
        assert hub.private == {NAME: True}
        left = contents(store)
        clip = store.get_clip(1)
        flac = (tmp_path / "a" / clip.path).read_bytes()
        assert found(hub, SECRET) and found(hub, flac) and found(hub, clip.sha256)
        copier.leave()
    with rebuilt(URL, tmp_path / "b") as store:
        assert contents(store) == left
        copier = joined(store, URL)
        weights = "models/v1/weights.safetensors"
        assert (tmp_path / "b" / weights).read_bytes() == (tmp_path / "a" / weights).read_bytes()
        assert not list((tmp_path / "b").rglob(".tmp-*"))
        erase_rater(store, f"{RATER}-2", by="boss")
        erase_clip(store, clip.id, by="boss")
        # Another vote of hers, on a clip that she brought and that stays.
        erase_rater(store, RATER, by="boss")
        copier.save()
        left = contents(store)
    assert not found(hub, SECRET, RATER, flac, clip.sha256), "not even in its history, or among its large files"
    assert hub.unknown == []
    with rebuilt(URL, tmp_path / "c") as store:
        assert contents(store) == left


def test_refusals_errors_and_dropped_connections_lose_nothing(hub: HubStandIn, tmp_path: Path) -> None:
    with begin(tmp_path / "a") as store:
        saver = Saver(store, open_place(URL), window=1.0).start()
        hub.trouble_every = 6
        for seed in range(5):
            clip, _ = save_vote(store, seed)
            store.add_correction(clip, NewVote("bob", "correct", "anger"))
            wait_for(lambda: not saver.status().waiting)
        assert saver.status().retries > 0
        left = contents(store)
        hub.trouble_every = 0
        saver.stop()
    assert set(hub.troubles) == set(TROUBLES) and hub.unknown == []
    hub.trouble_every = 12
    place, report = connect(URL, tmp_path / "b", say=lambda text: None)
    assert report is not None and report.is_whole
    with AnnotationStore(tmp_path / "b") as store:
        assert contents(store) == left


def test_the_hub_says_how_long_to_wait_and_what_is_wrong(
    hub: HubStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with begin(tmp_path / "a") as store:
        copier = joined(store, URL)
        copier.save()
        monkeypatch.setenv("HF_TOKEN", "hf_reader")
        with pytest.raises(
            ElsewhereError, match="Give the program a token .* that may write to hf://datasets/me/studio"
        ):
            copier.greet()
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        # Another container of the same Space has committed in between.
        with rebuilt_by_another(tmp_path / "b", monkeypatch) as other:
            joined(other, URL).save(snapshot=True)
        save_vote(store, 1)
        with pytest.raises(TakenOverError, match="has taken over the store"):
            copier.save()
    hub.private["me/seen"] = False
    hub.files["me/seen"], hub.heads["me/seen"] = {}, "0" * 40
    with begin(tmp_path / "c") as store, pytest.raises(SettingsError, match="everybody can see it"):
        joined(store, "hf://datasets/me/seen")
    for wrong in ("hf://me/studio", "hf://datasets/me", "hf://datasets/me/a/b"):
        with pytest.raises(SettingsError, match="expected hf://datasets/USER/NAME"):
            open_place(wrong)


def rebuilt_by_another(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AnnotationStore:
    """Take the store over as another container of a Space would."""
    monkeypatch.setenv("SPACE_ID", "me/studio")
    place = open_place(URL)
    # The first one is this very process: it has to look like the same Space on another machine.
    content = place.read("writer.json")
    assert content is not None
    writer = {**json.loads(content), "host": "container 1", "who": "the Space me/studio"}
    place.files()
    place.apply({"writer.json": json.dumps(writer).encode()}, [], "as if from elsewhere")
    return rebuilt(URL, data_dir)


def test_other_protocols_come_through_fsspec(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}/studio"
    with begin(tmp_path / "a") as store:
        copier = joined(store, url)
        copier.save()
        do_everything(store, tmp_path)
        copier.save()
        erase_clip(store, 1, by="boss")
        copier.save()
        left = contents(store)
        assert copier.files.keys() | {"writer.json"} == open_place(url).files().keys()
    with rebuilt(url, tmp_path / "b") as store:
        assert contents(store) == left
    for wrong, said in (("s3://bucket/studio", "needs a package that is not installed"), ("odd://x", "unknown kind")):
        with pytest.raises(SettingsError, match=said):
            open_place(wrong)


@pytest.mark.skipif(not os.environ.get("SER_TEST_HUB_TOKEN"), reason="needs SER_TEST_HUB_TOKEN, which may write")
@pytest.mark.parametrize("kind", ["datasets", "buckets"])
def test_the_real_hub_takes_a_store_and_gives_it_back(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = os.environ["SER_TEST_HUB_TOKEN"]
    monkeypatch.setenv("HF_TOKEN", token)
    api = HfApi(token=token)
    name = f"{api.whoami()['name']}/studio-test-{uuid.uuid4().hex[:8]}"
    url = f"hf://{kind}/{name}"
    try:
        with begin(tmp_path / "a") as store:
            copier = joined(store, url)
            copier.save()
            do_everything(store, tmp_path)
            copier.save()
            erase_clip(store, 1, by="boss")
            copier.save()
            left = contents(store)
        with rebuilt(url, tmp_path / "b") as store:
            assert contents(store) == left
    finally:
        if kind == "datasets":
            api.delete_repo(name, repo_type="dataset", missing_ok=True)
        else:
            api.delete_bucket(name, missing_ok=True)
