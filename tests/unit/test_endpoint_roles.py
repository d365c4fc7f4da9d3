"""Every endpoint of the running page, private ones and acts included, by every role: what it answers and tells."""

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import gradio as gr
import httpx
import pytest
from gradio.blocks import BlockFunction

from annotations.learning.runs.retrainer import log_path
from annotations.raters.guidelines import write_guidelines
from annotations.raters.people import Access, Person, identify, set_role
from annotations.store import NewVote
from annotations.store.settings import AnnotationSettings, change_settings
from ser.config import Settings
from ser.testing import fake_recognizer, synthetic_speech
from ui.app import build_app, launch_options
from ui.backend.logins import HASHER, Logins
from ui.backend.services import Services
from ui.backend.startup import Saving, load_parts

EVERYBODY, REVIEWERS, MAINTAINERS = "visitor", "annotator", "maintainer"
PROVED_REVIEWERS = "annotators who prove the name"

DECLARED = {
    "TrainingHandlers.control_training": MAINTAINERS,
    # Of a stored clip; everybody may give a recording of their own.
    "VoteHandlers.correct": REVIEWERS,
    "AnswerHandlers.explain": EVERYBODY,
    "VoteHandlers.labels": EVERYBODY,
    "VoteHandlers.next_clip": REVIEWERS,
    "AnswerHandlers.recognize": EVERYBODY,
    "VoteHandlers.register": EVERYBODY,
    "TrainingHandlers.retrain": MAINTAINERS,
    "AnswerHandlers.timeline": EVERYBODY,
    "TrainingHandlers.training_status": EVERYBODY,
    "ConversationHandlers.converse": EVERYBODY,
    "ConversationHandlers.on_read": EVERYBODY,
    # Of who agreed to keep it; a maintainer may erase any.
    "FaceHandlers.forget_picture": EVERYBODY,
    "FaceHandlers.on_picture": EVERYBODY,
    "FaceHandlers.recognize_with_face": EVERYBODY,
    "IdentityHandlers.on_rename": EVERYBODY,
    # Both change what this session has chosen, and nothing else.
    "ImportHandlers.on_change": EVERYBODY,
    "ImportHandlers.on_files": EVERYBODY,
    "ImportHandlers.on_mapping": EVERYBODY,
    "ImportHandlers.on_import": MAINTAINERS,
    "ImportHandlers.on_preview": MAINTAINERS,
    "ImportHandlers.on_stop": MAINTAINERS,
    "InsightsHandlers.on_open": EVERYBODY,
    "MaintainHandlers.on_load": EVERYBODY,
    "MaintainHandlers.on_release": MAINTAINERS,
    "MaintainHandlers.on_role": MAINTAINERS,
    "MaintainHandlers.on_settings": MAINTAINERS,
    "NeutralHandlers.on_forget": EVERYBODY,
    "NeutralHandlers.on_neutral": EVERYBODY,
    # Of voices that the same person keeps.
    "NeutralHandlers.on_delete": EVERYBODY,
    "NeutralHandlers.on_open": EVERYBODY,
    "NeutralHandlers.on_use": EVERYBODY,
    # The question about labels is empty for everybody but a maintainer.
    "PageHandlers.on_load": EVERYBODY,
    "RecognizeHandlers.on_audio": EVERYBODY,
    # Of a stream that the same browser began, by a number that nobody can guess.
    "LiveHandlers.on_stop": EVERYBODY,
    "RecognizeHandlers.on_beginning": EVERYBODY,
    "RecognizeHandlers.on_change": EVERYBODY,
    "RecognizeHandlers.on_clear": EVERYBODY,
    "RecognizeHandlers.on_example": EVERYBODY,
    "RecognizeHandlers.on_labels": EVERYBODY,
    "RecognizeHandlers.on_save": EVERYBODY,
    # Erases nothing unless this session has just saved a clip; who may is asked then.
    "RecognizeHandlers.on_withdraw": EVERYBODY,
    # A rating is of one's own name, and only its rater takes it back.
    "ReplyHandlers.forget_reply": EVERYBODY,
    "ReplyHandlers.rate_reply": EVERYBODY,
    "ReplyHandlers.reply": EVERYBODY,
    "SavingHandlers.on_open": MAINTAINERS,
    "SavingHandlers.on_save": MAINTAINERS,
    "Services.header": EVERYBODY,
    "TrainHandlers.on_cancel": MAINTAINERS,
    "TrainHandlers.on_log": MAINTAINERS,
    "TrainHandlers.on_open": EVERYBODY,
    "TrainHandlers.on_pause": MAINTAINERS,
    "TrainHandlers.on_resume": MAINTAINERS,
    "TrainHandlers.on_retrain": MAINTAINERS,
    "TrainHandlers.on_tick": EVERYBODY,
    "TimelineHandlers.on_timeline": EVERYBODY,
    "WhyHandlers.on_why": EVERYBODY,
    "PageHandlers.on_unload": EVERYBODY,
    # Lights the stop button of the browser that asks, and nothing else.
    "build_import_card.<locals>.<lambda>": EVERYBODY,
    "build_train_tab.<locals>.<lambda>": EVERYBODY,
    # Of a conversation that the same browser had read, by a name that nobody can guess.
    "page:conversation_forget": EVERYBODY,
    "page:conversation_rate": EVERYBODY,
    "page:conversation_reply": EVERYBODY,
    "page:conversation_speak": EVERYBODY,
    "page:conversation_why": EVERYBODY,
    "page:conversation_written": EVERYBODY,
    "page:export_timeline": EVERYBODY,
    "page:change_labels": MAINTAINERS,
    "page:edit_labels": MAINTAINERS,
    # Visitors are shown clips of their own alone, and asked who they are before they withdraw.
    "page:clip": REVIEWERS,
    "page:clip_cues": REVIEWERS,
    "page:clips": EVERYBODY,
    "page:clips_ask": MAINTAINERS,
    # Only an act that was asked about, which is where the role is looked at, and again when it is done.
    "page:clips_do": EVERYBODY,
    "page:clips_fields": EVERYBODY,
    "page:clips_job": EVERYBODY,
    "page:clips_stop": EVERYBODY,
    "page:backup": MAINTAINERS,
    "page:manage": MAINTAINERS,
    "page:prelabel": MAINTAINERS,
    "page:prelabel_stop": MAINTAINERS,
    "page:guidelines": EVERYBODY,
    "page:labels": EVERYBODY,
    "page:next": REVIEWERS,
    "page:open": REVIEWERS,
    "page:preview_labels": MAINTAINERS,
    "page:release": REVIEWERS,
    "page:renew": REVIEWERS,
    # Of a recording of one's own, as the first tab's save button.
    "page:save_regions": EVERYBODY,
    "page:undo": PROVED_REVIEWERS,
    "page:version_back": MAINTAINERS,
    "page:version_card": EVERYBODY,
    "page:version_compare": MAINTAINERS,
    "page:version_pull": MAINTAINERS,
    "page:version_push": MAINTAINERS,
    "page:version_use": MAINTAINERS,
    "page:vote": REVIEWERS,
    "page:write_guidelines": MAINTAINERS,
}
"""{endpoint: the least that it asks for}: a new one belongs here before it is served."""

ARGUMENTS = {
    "TrainingHandlers.control_training": {"pause, resume or cancel": "cancel"},
    "VoteHandlers.correct": {
        "id of a stored clip, or null for a new recording": 1,
        "one of the labels that /labels lists, or unsure": "fear",
    },
    "VoteHandlers.register": {"the name to vote under": "newcomer"},
    "TrainHandlers.on_log": {"": ""},
    "TrainHandlers.on_tick": {"": {}, "Effort": "quick", "What to train": "acoustic", "Layers to train": "auto"},
}
"""Values by label that bring an endpoint to what it does."""

SECRETS = ("zoe-the-rater", "yan-the-rater", "mia-the-chief", "bob-the-editor", "a line of the log")
"""Names and texts that nobody but a maintainer may be sent."""

REFUSED = re.compile(r"\bmay not\b")


@dataclass(frozen=True)
class Caller:
    """Somebody at the page.

    Attributes:
        name: as typed.
        key: of their browser; empty for a program without one.
        role: that they have.
        login: whether the name comes from a login.
    """

    name: str
    role: str
    key: str = ""
    login: bool = False

    @property
    def proves(self) -> bool:
        return bool(self.key or self.login)


CALLERS = (
    Caller("passer-by", "visitor"),
    Caller("val", "visitor", key="key of val, a visitor"),
    Caller("kim", "annotator", key="key of kim, annotator"),
    Caller("max", "maintainer", key="key of max, maintainer"),
    Caller("vic", "visitor", login=True),
    Caller("ann", "annotator", login=True),
    Caller("mod", "maintainer", login=True),
)
PASSWORD = "a password"


@dataclass
class Server:
    demo: gr.Blocks
    url: str
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=60))

    def call(self, function: BlockFunction, data: list[object], key: str = "") -> httpx.Response:
        body = {"fn_index": function._id, "data": data, "session_hash": "s"}
        headers = {"X-Rater-Key": key} if key else {}
        return self.client.post(f"{self.url}gradio_api/run/predict", json=body, headers=headers)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Services:
    found = load_parts(
        tmp_path_factory.mktemp("data"),
        Settings(),
        fake=True,
        access=Access(role_without_login="visitor"),
        saving=Saving(str(tmp_path_factory.mktemp("elsewhere") / "place")),
    )
    store = found.store
    for seed in range(3):
        audio = synthetic_speech(0.5, seed=seed)
        clip = store.add_clip(audio, source="import", consent=("research", "training"))
        store.add_prediction(clip.id, fake_recognizer().recognize(audio), store.active_version().id)
        store.add_correction(clip.id, NewVote("zoe-the-rater", "correct", label="fear"))
        store.add_correction(clip.id, NewVote("yan-the-rater", "correct", label="anger"))
    chief = Person("mia-the-chief", "maintainer")
    for caller in CALLERS:
        if caller.proves:
            identify(store, found.access, caller.name, login=caller.login, key=caller.key, claim=True)
            set_role(store, caller.name, caller.role, chief)
    change_settings(store, AnnotationSettings(lease_minutes=7), by="mia-the-chief")
    write_guidelines(store, "Listen first.", Person("bob-the-editor", "maintainer"), replaces=0)
    run = store.queue_training_run({}, store.active_version().id, "mia-the-chief")
    log_path(store.data_dir, run.id).parent.mkdir(parents=True, exist_ok=True)
    log_path(store.data_dir, run.id).write_text("a line of the log\n")
    store.close_training_run(run.id, "failed", "for the test")
    return found


@pytest.fixture(scope="module")
def servers(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[bool, Server]]:
    """The page without and with a login list, over one store."""
    cache = pytest.MonkeyPatch()
    cache.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("cache")))
    found = {}
    for listed in (False, True):
        demo = build_app(replace(services))
        hashes = {caller.name: HASHER.hash(PASSWORD) for caller in CALLERS if caller.login}
        auth = Logins(hashes).check if listed else None
        _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, auth=auth, **launch_options(services))
        found[listed] = Server(demo, url)
    yield found
    for server in found.values():
        server.demo.close()
    cache.undo()


def endpoints(demo: gr.Blocks) -> dict[str, tuple[BlockFunction, str | None]]:
    """{name: function and, of the page's own scripts, the act} of all that a running page answers."""
    found: dict[str, tuple[BlockFunction, str | None]] = {}
    for function in demo.fns.values():
        if function.fn is None:
            continue  # Runs in the browser.
        inner = inspect.unwrap(function.fn)
        name = getattr(inner, "func", inner).__qualname__
        if name == "build_calls.<locals>.page":
            acts = inspect.getclosurevars(function.fn).nonlocals["acts"]
            found |= {f"page:{act}": (function, act) for act in acts}
        else:
            found[name] = (function, None)
    return found


def arguments(name: str, function: BlockFunction, act: str | None, caller: Caller) -> list[object]:
    who = {"name": caller.name, "key": caller.key}
    if act is not None:
        return [
            act,
            {"who": who, "vote": "fear", "clip": 3, "text": "new", "replaces": 0, "act": "erase", "clips": [1]},
        ]
    given: list[object] = []
    for block in function.inputs:
        label = str(getattr(block, "label", None) or "")
        if isinstance(block, gr.BrowserState):
            given.append(who)
        elif "rater" in label or label.startswith("who "):
            given.append(caller.name)
        else:
            value = [] if isinstance(block, gr.CheckboxGroup) else getattr(block, "value", None)
            value = value if isinstance(value, str | int | float | list) else None
            given.append(ARGUMENTS.get(name, {}).get(label, value))
    return given


def expected(least: str, caller: Caller) -> bool:
    if least == PROVED_REVIEWERS:
        return caller.proves and caller.role != "visitor"
    order = (EVERYBODY, REVIEWERS, MAINTAINERS)
    return order.index(caller.role) >= order.index(least)


def test_every_endpoint_is_declared(servers: dict[bool, Server]) -> None:
    for server in servers.values():
        assert set(endpoints(server.demo)) == set(DECLARED)


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: f"{caller.role}-{caller.name}")
def test_what_each_role_may(servers: dict[bool, Server], caller: Caller) -> None:
    server = servers[caller.login]
    server.client.cookies.clear()
    if caller.login:
        answer = server.client.post(f"{server.url}login", data={"username": caller.name, "password": PASSWORD})
        assert answer.status_code == 200
    found, leaks = {}, {}
    for name, (function, act) in endpoints(server.demo).items():
        answer = server.call(function, arguments(name, function, act, caller), caller.key)
        found[name] = not REFUSED.search(answer.text)
        leaks[name] = [secret for secret in SECRETS if secret in answer.text]
    assert found == {name: expected(least, caller) for name, least in DECLARED.items()}
    if caller.role == "maintainer":
        assert {secret for secrets in leaks.values() for secret in secrets} == set(SECRETS)
    else:
        assert {name: secrets for name, secrets in leaks.items() if secrets} == {}
    page = server.client.get(server.url).text + server.client.get(f"{server.url}config").text
    assert not [secret for secret in SECRETS if secret in page]


def test_behind_a_login_list_nobody_else_is_answered(servers: dict[bool, Server]) -> None:
    server = servers[True]
    server.client.cookies.clear()
    for name, (function, act) in endpoints(server.demo).items():
        answer = server.call(function, arguments(name, function, act, CALLERS[3]))
        assert answer.status_code == 401, name
    assert all(secret not in server.client.get(server.url).text for secret in SECRETS)


def test_a_stranger_cannot_act_under_a_name_that_has_a_key(servers: dict[bool, Server], services: Services) -> None:
    server = servers[False]
    server.client.cookies.clear()
    found = endpoints(server.demo)
    for key in ("", "login", "login:max", "another key of 20", "key of max, annotator"):
        for name in ("max", "Max", "m\u200bax"):
            for act in ("undo", "vote", "next"):
                answer = server.call(found[f"page:{act}"][0], [act, {"who": {"name": name, "key": key}, "clip": 1}])
                error = answer.json()["data"][0]["error"]
                assert "belongs to somebody else" in error or "at least 16" in error


def test_a_test_of_roles_would_see_a_missing_check(services: Services, tmp_path: Path) -> None:
    with gr.Blocks() as demo:
        gr.Button("new").click(lambda: "anything", None, gr.Textbox())
    assert set(endpoints(demo)) - set(DECLARED)
