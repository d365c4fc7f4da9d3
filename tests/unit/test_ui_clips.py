"""The handlers of the clips tab as plain functions: who sees what of a clip, and who may change what."""

import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace

import gradio as gr
import pytest

from annotations.errors import ClipNotFoundError
from annotations.raters.people import Access
from annotations.raters.votes import effective_corrections
from annotations.store import NewVote
from annotations.store.settings import change_settings, read_settings
from ser.testing import synthetic_speech
from ser.types import Audio
from ui.backend.services import Services
from ui.clips.tab import ClipsHandlers
from ui.parts.calls import run_act

ANN = gr.Request(session_hash="ann")
LOGGED_IN = gr.Request(username="ann", session_hash="ann")
Fill = Callable[[int], None]
Ask = Callable[..., dict[str, object]]


def asking(services: Services, role: str) -> Ask:
    """Acts as the page's script asks for them, by mia at the machine itself, or by ann with a login."""
    own = (ANN, "mia") if role == "maintainer" else (LOGGED_IN, "ann")
    acts = ClipsHandlers(replace(services, access=Access(role_without_login=role))).acts()

    def ask(name: str, request: gr.Request = own[0], who: str = own[1], /, **given: object) -> dict[str, object]:
        return run_act(acts, name, {"who": who, **given}, request)

    return ask


def settled(ask: Ask, answer: Mapping[str, object], **values: object) -> dict[str, object]:
    """Confirm a question, and wait for what it comes to."""
    begun = ask("clips_do", token=answer["token"], values=values)
    if "error" in begun:
        return begun
    while (job := ask("clips_job", job=begun["job"]))["state"] == "running":
        time.sleep(0.01)
    return job


def test_others_votes_are_hidden_until_voting_is_over(page_services: Services, page_fill: Fill) -> None:
    page_fill(1)
    store, annotator = page_services.store, asking(page_services, "annotator")
    store.add_correction(1, NewVote("<bob>", "correct", label="fear", comment="<b>"))
    shown = str(asking(page_services, "maintainer")("clip", clip=1)["html"])
    assert "&lt;bob&gt;" in shown and 'comment: <span translate="no">&lt;b&gt;' in shown and "<bob>" not in shown
    store.add_correction(1, NewVote("ann", "correct", label="anger"))
    assert "bob" not in str(annotator("clip", clip=1)) and "bob" not in str(annotator("clips"))
    assert annotator("clip", clip=1)["own"]["label"] == "anger"  # type: ignore[index]
    change_settings(store, replace(read_settings(store), overlap=2), by="mia")
    assert "bob" in str(annotator("clip", clip=1))


def test_blind_hides_the_models_answer_until_ones_own_vote(page_services: Services, page_fill: Fill) -> None:
    page_fill(1)
    store, annotator = page_services.store, asking(page_services, "annotator")
    change_settings(store, replace(read_settings(store), blind=True), by="mia")
    assert ">embedded<" not in str(annotator("clip", clip=1)["html"])
    store.add_correction(1, NewVote("ann", "unsure", answer_shown=False))
    shown = str(annotator("clip", clip=1)["html"])
    assert ">embedded<" in shown and "did not see the model’s answer" in shown


def test_a_question_counts_what_is_lost_and_only_its_clips_go(page_services: Services, page_fill: Fill) -> None:
    page_fill(3)
    ask = asking(page_services, "maintainer")
    answer = ask("clips_ask", act="erase", all=True, filters={"clips": "1,2"})
    assert answer["confirm"] == "Erase 2 clips" and "2 recordings and 0 votes would be erased" in str(answer["body"])
    assert page_services.store.get_clip(1)
    page_fill(1)  # What comes after the question is not meant by it.
    outcome = settled(ask, answer)
    assert outcome["message"] == "2 clips erased." and page_services.store.get_clip(3)
    with pytest.raises(ClipNotFoundError):
        page_services.store.get_clip(2)
    assert "too old" in str(ask("clips_do", token=answer["token"])["error"])


def test_only_maintainers_change_clips(page_services: Services, page_fill: Fill) -> None:
    page_fill(1)
    for act in ("speaker", "consent", "gold", "queue", "export", "erase"):
        refused = asking(page_services, "annotator")("clips_ask", act=act, clips=[1])
        assert "ann may not" in str(refused["error"]), act
    ask = asking(page_services, "maintainer")
    asked = ask("clips_ask", act="erase", clips=[1])
    assert "too old" in str(ask("clips_do", ANN, "max", token=asked["token"])["error"])
    assert page_services.store.get_clip(1)


def test_who_consented_withdraws(page_services: Services) -> None:
    store, ask = page_services.store, asking(page_services, "annotator")
    for seed, name in enumerate(("ann", "bob")):
        store.add_clip(synthetic_speech(0.5, seed=seed), source="page", consent=("research",), consent_by=name)
    assert "Withdraw my consent" in str(ask("clip", clip=1)) and "Withdraw my" not in str(ask("clip", clip=2))
    assert "only who consented" in str(ask("clips_ask", act="withdraw", clips=[2])["error"])
    nobody = ask("clips_ask", ANN, "bob", act="withdraw", clips=[2])
    assert "Nothing proves that you are bob, so you may not withdraw a consent" in str(nobody["error"])
    assert "erased" in str(settled(ask, ask("clips_ask", act="withdraw", clips=[1]))["message"])
    with pytest.raises(ClipNotFoundError):
        store.get_clip(1)
    assert store.get_clip(2)


def test_an_export_that_waits_goes_with_the_next_erasure(page_services: Services, page_fill: Fill) -> None:
    page_fill(2)
    ask = asking(page_services, "maintainer")
    begun = settled(ask, ask("clips_ask", act="export", all=True, filters={}), format="audiofolder", purpose="research")
    assert begun["message"] == "2 clips with 0 votes exported."
    job = page_services.jobs.get(str(begun["file"]), "mia")
    assert job.file is not None
    with zipfile.ZipFile(job.file) as archive:
        assert sum(name.endswith(".flac") for name in archive.namelist()) == 2
    assert [path.name for path in job.file.parent.iterdir()] == ["clips-audiofolder.zip"]
    settled(ask, ask("clips_ask", act="erase", clips=[1]))
    assert not job.file.exists()
    assert "not known here" in str(ask("clips_job", ANN, "max", job=begun["file"])["error"]), "another's"


def test_ones_own_vote_is_taken_back_by_whoever_proves_it(page_services: Services, page_fill: Fill) -> None:
    page_fill(1)
    store = page_services.store
    for label in ("fear", "anger"):
        store.add_correction(1, NewVote("ann", "correct", label=label))
    store.add_correction(1, NewVote("bob", "correct", label="fear"))
    ask = asking(page_services, "annotator")
    nobody = ask("clips_ask", ANN, "bob", act="retract", clips=[1])
    assert "Nothing proves that you are bob" in str(nobody["error"])
    assert "Take my vote back" in str(ask("clip", clip=1)["html"])
    assert settled(ask, ask("clips_ask", act="retract", clips=[1]))["message"] == "2 votes taken back."
    shown = ask("clip", clip=1)
    assert "Take my vote back" not in str(shown["html"]) and shown["own"] is None
    assert [vote.rater for vote in effective_corrections(store)] == ["bob"]
    again = settled(ask, ask("clips_ask", act="retract", clips=[1]))
    assert (again["state"], again["message"]) == ("failed", "ann has no vote on clip 1 to take back.")


def test_a_voice_is_described_against_its_source(page_services: Services) -> None:
    store, ask = page_services.store, asking(page_services, "annotator")
    for seed in range(5):
        store.add_clip(synthetic_speech(1.0, seed=seed), source="studio", consent=("research",))
        said = str(ask("clip_cues", clip=seed + 1)["said"])
        assert said.startswith("Too few clips of studio" if seed < 3 else "Compared with other clips of studio: "), seed
    quiet = synthetic_speech(1.0, seed=2)
    whispered = store.add_clip(Audio(0.2 * quiet.signal), source="studio", consent=("research",))
    assert "quieter (" in str(ask("clip_cues", clip=whispered.id)["said"])


def test_odd_requests_get_a_sentence(page_services: Services, page_fill: Fill) -> None:
    page_fill(1)
    ask = asking(page_services, "maintainer")
    assert "no clip 9" in str(ask("clip", clip=9)["error"])
    assert "no filter 'colour'" in str(ask("clips", filters={"colour": "red"})["error"])
    assert "expected a day" in str(ask("clips", filters={"since": "yesterday"})["error"])
    assert "expected one of" in str(ask("clips", filters={"training": "x"})["error"])
    assert "No clip is selected" in str(ask("clips_ask", act="erase", clips=[])["error"])
    assert "no act 'burn'" in str(ask("clips_ask", act="burn", clips=[1])["error"])
    assert ask("clips", page=99)["page"] == 1 and ask("clips", order="whim")["order"] == "-stored"
    asked = ask("clips_ask", act="export", clips=[1])
    assert "format and a purpose" in str(settled(ask, asked, format="cassette", purpose="research")["error"])
    # A value that will not do leaves the question as it stands.
    assert settled(ask, asked, format="csv", purpose="publication")["lines"] == [
        "1 clip left out: not allowed for publication."
    ]
