"""Health, readiness, metrics, alert rules and dashboard, and logs without personal data."""

import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from gradio_client import Client, handle_file
from prometheus_client.parser import text_string_to_metric_families

from annotations.store import NewVote
from annotations.store.settings import AnnotationSettings, change_settings
from ser.testing import synthetic_speech
from ui.app import build_app, launch_options, stored_html
from ui.backend.boundary import Network
from ui.backend.services import Services
from ui.operations.exposition import FRESH, StudioCollector, exposition
from ui.operations.logs import JsonFormatter
from ui.operations.routes import TOKEN_VARIABLE, Traffic, metrics_refusal

OPS = Path(__file__).resolve().parents[2] / "ops"
TOKEN = "a token of 20 letters"


@pytest.fixture
def traffic() -> Traffic:
    return Traffic()


@pytest.fixture
def page(page_services: Services, page_fill: Callable[[int], None], traffic: Traffic) -> Iterator[httpx.Client]:
    page_fill(2)
    store = page_services.store
    prediction = store.fetch("SELECT id, label FROM predictions WHERE clip_id = 1")[0]
    store.add_correction(1, NewVote("zoe-the-rater", "correct", label="fear"), prediction_id=prediction["id"])
    demo = build_app(page_services)
    options = launch_options(page_services, Network(proxy=True), traffic)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True, **options)
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client
    demo.close()


def samples(text: str) -> dict[tuple[str, str], float]:
    """{(name, values of the labels): number} of an exposition."""
    families = text_string_to_metric_families(text)
    return {(one.name, " ".join(one.labels.values())): one.value for family in families for one in family.samples}


def test_health_and_metrics_of_a_page_in_use(page: httpx.Client, traffic: Traffic, speech: Path) -> None:
    assert page.get("/healthz").text == "ok\n"
    assert page.get("/readyz").json() == {"ready": True, "problems": [], "under_way": 0}
    client = Client(str(page.base_url), verbose=False)
    answer = client.predict(handle_file(str(speech)), api_name="/recognize")
    assert page.post("/gradio_api/run/page", json={"data": ["vote", {"vote": 3}]}).status_code == 200
    found = page.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain")
    now = samples(found.text)
    assert now["studio_answers_total", answer["label"]] == 1
    for stage in ("decode", "vad", "acoustic", "total", "queue_and_first_step"):
        assert now["studio_stage_seconds_count", stage] == 1, stage
    assert now["studio_confidence_sum", ""] == pytest.approx(answer["fused"][answer["label"]], abs=1e-3)
    assert sum(value for (name, _), value in now.items() if name == "studio_errors_total") >= 1
    assert now["studio_votes", "correct"] == 1 and now["studio_correction_rate", ""] == 1.0
    assert now["studio_label_share", "fear"] == 1.0
    assert now["studio_sessions", ""] >= 1 and now["studio_responses_total", "2xx"] >= 3
    assert any(name == "studio_model_info" for name, _ in now)
    assert "zoe" not in found.text and speech.name not in found.text

    traffic.stopping = True
    assert page.get("/readyz").status_code == 503 and page.get("/healthz").status_code == 200
    refused = page.post("/gradio_api/run/page", json={"data": ["next", {}]})
    assert refused.status_code == 503 and refused.headers["Retry-After"] and "being stopped" in refused.text


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    example = sorted((Path(__file__).resolve().parents[2] / "ui" / "assets" / "examples").glob("*.flac"))[0]
    copied = tmp_path / "a-private-name.flac"
    copied.write_bytes(example.read_bytes())
    return copied


def test_about_tells_where_and_how_long_and_whom_to_ask(page_services: Services) -> None:
    said = stored_html(page_services, {"SER_CONTACT": "<ann@example.org>"})
    assert "&lt;ann@example.org&gt;" in said and "alone." in said and "no other time is set" in said
    settings = AnnotationSettings(retention_days=30, mask_transcripts="store")
    change_settings(page_services.store, settings, by="mia")
    said = stored_html(page_services, {"SPACE_ID": "ann/studio"})
    assert "30 days, or until you withdraw it." in said and "emptied at every restart" in said
    assert "names and numbers masked" in said and "Who runs the Space ann/studio" in said
    assert "a copy at another place" in stored_html(page_services, {"SER_STORE": "hf://datasets/ann/store"})


def test_who_may_read_the_metrics(page: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = {"X-Forwarded-For": "93.184.216.34"}
    assert page.get("/metrics").status_code == 200
    assert page.get("/metrics", headers=outside).status_code == 403
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    assert page.get("/metrics", headers={**outside, "Authorization": f"Bearer {TOKEN}"}).status_code == 200
    for wrong in ("", "Bearer x", "Bearer a token of 20 letterS", TOKEN[:5]):
        assert page.get("/metrics", headers={**outside, "Authorization": wrong}).status_code == 403
    scope = {"type": "http", "client": ("10.0.0.9", 1), "headers": [(b"authorization", b"Bearer short")]}
    assert TOKEN_VARIABLE in metrics_refusal(scope, "short"), "a token that can be guessed is none"


def test_numbers_of_the_store_are_read_at_most_every_few_seconds(page_services: Services) -> None:
    now = [0.0]
    collector = StudioCollector(page_services, clock=lambda: now[0])
    assert samples(exposition(collector).decode())["studio_clips", ""] == 0
    page_services.store.add_clip(synthetic_speech(0.5), source="page", consent=("training",))
    assert samples(exposition(collector).decode())["studio_clips", ""] == 0
    now[0] = FRESH + 1
    assert samples(exposition(collector).decode())["studio_clips", ""] == 1


class Saver:
    """State of a save elsewhere, as `Services.saver` tells it."""

    age, waiting, failures = 75.0, 3, 1

    def status(self) -> "Saver":
        return self


ENDINGS = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}
"""Ends of the names of a metric's samples, by its type. Source: the OpenMetrics specification."""


def used_metrics(text: str) -> set[str]:
    return set(re.findall(r"\bstudio_[a-z_]+\b", text))


def test_alert_rules_and_dashboard_name_metrics_that_there_are(page_services: Services) -> None:
    object.__setattr__(page_services, "saver", Saver())
    families = [*StudioCollector(page_services).collect()]
    known = {family.name + end for family in families for end in ENDINGS[family.type]}
    assert {sample.name for one in families for sample in one.samples} <= known
    rules = yaml.safe_load((OPS / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
    dashboard = json.loads((OPS / "dashboard.json").read_text(encoding="utf-8"))
    asked = {rule["alert"]: used_metrics(rule["expr"]) for rule in rules}
    asked |= {panel["title"]: used_metrics(json.dumps(panel["targets"])) for panel in dashboard["panels"]}
    assert len(asked) == len(rules) + len(dashboard["panels"]) > 20
    for name, metrics in asked.items():
        assert metrics <= known, (name, metrics - known)
    assert all(rule["annotations"]["action"] for rule in rules)
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places)
    age = next(
        family for family in StudioCollector(page_services).collect() if family.name == "studio_saved_age_seconds"
    )
    assert age.samples[0].value == 75.0


def test_logs_are_json_without_personal_data() -> None:
    formatter = JsonFormatter()
    logger = logging.getLogger("page")

    def line(message: str, *values: object, **more: object) -> dict[str, object]:
        error = more.pop("exc_info", None)
        record = logger.makeRecord("page", logging.WARNING, "x.py", 1, message, values, error, **more)  # type: ignore
        return json.loads(formatter.format(record))

    first, second = (line("A login failed from %s, the 2. in a row.", "93.184.216.34") for _ in range(2))
    assert (
        first["message"] == second["message"] != line("A login failed from %s, the 2. in a row.", "1.2.3.4")["message"]
    )
    assert "93.184" not in json.dumps(first) and first["level"] == "warning"
    try:
        raise ValueError("ann said /home/ann/clip.wav")
    except ValueError:
        told = line("An event of the page failed.", exc_info=sys.exc_info())
    assert told["error"] == "ValueError" and "ann" not in json.dumps(told)
    assert str(told["frames"]).count("test_operations.py") == 1
    request = line("request", extra={"route": "/gradio_api/run/page", "status": 200, "method": "POST", "s": 0.01})
    assert (request["route"], request["status"]) == ("/gradio_api/run/page", 200)
