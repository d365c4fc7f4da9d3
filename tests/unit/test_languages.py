"""Languages of the page: what is found in the source, and what a language's file holds."""

import json
import re
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from annotations.labels.label_set import DEFAULT, LabelSet, emotion_label
from ui.languages.catalogue import Language, list_languages, menu, settings
from ui.languages.extract import texts, untranslated
from ui.languages.markup import holes, script_literals, split
from ui.parts.delivery import ENGLISH, Delivery

HAN = "[一-鿿]"

SOURCES = {
    "ui/tab.py": '''"""Not this."""
import gradio as gr

NAMES = {"one": "First choice"}

def build(count: int, clip: object, found: list[str]) -> None:
    """Nor this."""
    gr.Button("Save", elem_id="save-button")
    gr.HTML(f'<p title="Press S">{count} of {clip.total} clips{" left" if count else ""} · by {clip.rater}</p>')
    gr.HTML("<p>Press <kbd>S</kbd> to skip.</p>" + "<label>Order <select></select></label>")
    gr.HTML(f"<p>{drawn(count)} waiting · {counted(count, 'vote')}</p>")
    raise SomeError(f"{', '.join(found)} cannot be read. Choose another file.")

def drawn(count: int) -> str:
    return f"<svg>{count}</svg>"
''',
    "annotations/store/rows.py": """def read(name: str) -> None:
    connection.execute("SELECT name FROM clips WHERE name = ?")
    log.info("This goes to the log.")
    raise StoreError(f"There is no clip named '{name}'. Check it.")
""",
    "ser/__init__.py": "",
    "ui/assets/page.js": """const say = (n) => `${n.clips} clips wait`; // It's a comment.
find('#a [name=b]').textContent = 'Try ' + 'again';""",
}


def test_texts_are_found_where_they_are_written(tmp_path: Path) -> None:
    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(source)
    found = {text for text, where in texts(tmp_path).items() if "/" in where}
    assert found == {
        "First choice",
        "Save",
        "Press S",
        "{count} of {total} clips left",
        "{count} of {total} clips",
        "by {rater}",
        "Press <kbd>S</kbd> to skip.",
        "Order",
        "waiting",
        "{count} vote",
        "{count} votes",
        "{found} cannot be read. Choose another file.",
        "There is no clip named '{name}'. Check it.",
        "{clips} clips wait",
        "Try again",
    }


def test_what_people_wrote_is_no_text() -> None:
    assert split('<p>Said by <span translate="no">Ann</span></p><code>run it</code>') == ["Said by"]
    assert list(script_literals("a = /[\"'`]/.test(b) ? 'Yes' : \"It's\";")) == ["Yes", "It's"]


@pytest.mark.parametrize("language", list_languages(), ids=lambda language: language.code)
def test_every_text_of_the_page_is_translated_and_nothing_else(language: Language) -> None:
    assert untranslated(language) == {}


PLURAL = re.compile(
    r"\{(\w+)\}(</strong>)? ((?:[a-z]+(?:-[a-z]+)? ){0,2}?)"
    r"(clip|vote|rater|speaker|recording|file|row|epoch|token|pair|item|change|session|request|test|note)s\b"
)
MORE_THAN_ONE = (
    *(
        "{min_clips} recordings on",
        "{max_members} files",
        "{block} clips",
        "{figures}",
        "{last} votes",
        "{notes} notes",
    ),
    *("{value} votes a minute", "{number} files", "{perminute}", "held-out clips", "{feedback} labelled clips"),
    *(
        "{paths} clips were chosen",
        "{with_words} of the clips",
        "language model",
        "{min_texts} clips",
        "{paths} files",
        "{min_clips} clips",
    ),
    *("{unknown_speaker_clips} of unknown", "All {what} clips", "has no rows", "{min_held_out} clips"),
)
"""Parts of texts whose number is a limit or a rate, or counts what there are always several of."""


def test_what_is_counted_may_be_one() -> None:
    wanted = set(texts())
    lacking = []
    for text in wanted:
        found = PLURAL.search(text)
        if found is None or any(part in text for part in MORE_THAN_ONE):
            continue
        one = re.compile(re.escape(f"{{{found[1]}}}{found[2] or ''} {found[3]}{found[4]}") + r"\b")
        if not any(one.search(other) for other in wanted):
            lacking.append(text)
    assert lacking == []


@pytest.mark.parametrize("language", list_languages(), ids=lambda language: language.code)
def test_translations_have_the_holes_of_their_texts(language: Language) -> None:
    assert [text for text, said in language.texts.items() if not said or holes(text) != holes(said)] == []
    assert "{" not in language.name and re.fullmatch(r"[a-z]{2,3}(-\w+)*", language.tag)


def test_chinese_is_set_as_chinese_is() -> None:
    said = [text for language in list_languages() if language.code == "zh" for text in language.texts.values()]
    # Without what is written as it is: holes, code, markup.
    plain = [re.sub(r"<code>.*?</code>|`[^`]*`|<[^>]*>", "", text) for text in said]
    narrow = [text for text in plain if re.search(rf"{HAN}[,;:!?.()](?![\d/])|[,;:!?]{HAN}|\({HAN}", text)]
    crowded = [text for text in plain if re.search(rf"{HAN}[A-Za-z0-9{{]|[A-Za-z0-9}}]{HAN}", HOLES.sub("", text))]
    assert narrow == [] and crowded == []


HOLES = re.compile(rf"(?<={HAN})\{{\w+\}}|\{{\w+\}}(?={HAN})")
"""Holes next to Chinese: the page's script sets the space by what fills them."""


def test_labels_of_a_set_bring_their_own_names() -> None:
    own = emotion_label("anger")
    named = type(own)("annoyed", "2", own.light, own.dark, ("anger",), {"zh": "恼火", "de": "verärgert"})
    told = json.loads(settings(LabelSet((own, named))))["zh"]
    assert told["labels"] == {"annoyed": "恼火"} and told["file"].startswith("studio/zh.")
    assert json.loads(settings(DEFAULT))["zh"]["labels"] == {}
    assert '<option value="zh" lang="zh-CN">中文</option>' in menu()


def test_a_document_gets_the_scripts_and_is_sent_once() -> None:
    title = "<title>中</title>" + " " * 300
    html = Route("/", lambda request: HTMLResponse(f"<html><head>{title}</head></html>"))
    plain = Route("/api", lambda request: JSONResponse({"html": "<head>"}))
    module = Route(
        "/assets/hls-a1.js", lambda request: Response(b"var a;export{a as n};", media_type="text/javascript")
    )
    form = Route("/form", lambda request: HTMLResponse('<html><head></head>{"auth_required":true}</html>'))
    app = Delivery(
        Starlette(routes=[html, plain, module, form]), "<i>", "wait()", b"own script", {"studio/zh.1.json": b"{}"}
    )
    client = TestClient(app)
    answer = client.get("/")
    start, end = f"<html><head>{ENGLISH}<i>", f"{title}</head></html>"
    script = answer.text.removeprefix(start).removesuffix(end)
    address = re.fullmatch(r'<script defer src="(studio/\w+\.js)"></script>', script)
    assert address is not None and answer.text == start + script + end
    assert answer.headers["content-encoding"] == "br"
    assert f"<head>{ENGLISH}<script>wait()</script></head>" in client.get("/form").text
    for coding in ("gzip", "identity"):
        other = client.get("/", headers={"Accept-Encoding": coding})
        assert other.text == answer.text and other.headers.get("content-encoding", "identity") == coding
    again = client.get("/", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304 and again.content == b""
    own = client.get(f"/{address[1]}")
    assert own.content == b"own script" and "immutable" in own.headers["cache-control"]
    assert client.get("/studio/zh.1.json").json() == {}
    assert client.get("/api").json() == {"html": "<head>"}
    for _ in range(2):
        assert client.get("/assets/hls-a1.js").text == "const no = () => false; export { no as n };"
    assert client.get("/assets/none.js").status_code == 404
