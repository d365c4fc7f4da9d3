"""Deployment on a Space against a server of our own, its dry run, and the container's files."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from huggingface_hub import HfApi
from packaging.requirements import Requirement

from annotations.errors import ExchangeError
from ser.errors import SettingsError
from tests.unit.hub_stand_in import TOKEN, hub_stand_in
from ui.backend.server import main
from ui.operations.deploy import ROOT, run_deploy

STORE_TOKEN = {"SER_STORE_TOKEN": "hf_store_only"}


def test_a_dry_run_says_each_step_and_needs_no_token(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["deploy", "ann/studio", "--private", "--zero-gpu", "--variable", "SER_MAINTAINERS=ann", "--dry-run"]) == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(
        "Make the Space ann/studio: Gradio, zero-a10g, seen by its owners alone. If it is there, it stays as it is."
    )
    assert "Make the data set ann/studio-store, private" in lines[1]
    assert [line.partition(" ")[2] for line in lines[2:5]] == [
        "Set the variable SER_LOG=json.",
        "Set the variable SER_STORE=hf://datasets/ann/studio-store.",
        "Set the variable SER_MAINTAINERS=ann.",
    ]
    assert "HF_TOKEN" in lines[5] and "NOT GIVEN" in lines[5] and "SER_METRICS_TOKEN" in lines[6]
    assert re.search(r"Upload \d{3} files, \d+\.\d MB, .* torch>=2.8,<2.12 in requirements.txt", lines[7])
    assert lines[8].startswith("Nothing was done. It would be at https://ann-studio.hf.space")


def test_a_space_is_made_with_its_store_settings_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    with hub_stand_in() as hub:
        api = HfApi(endpoint=hub.url, token=TOKEN)
        assert run_deploy(["ann/studio", "--zero-gpu"], STORE_TOKEN, api) == 0
        assert hub.unknown == []
        assert hub.spaces["ann/studio"] == {"sdk": "gradio", "hardware": "zero-a10g"}
        assert (hub.private["ann/studio"], hub.private["ann/studio-store"]) == (False, True)
        settings = hub.settings["ann/studio"]
        assert settings["secrets", "HF_TOKEN"] == "hf_store_only"
        assert settings["variables", "SER_STORE"] == "hf://datasets/ann/studio-store"
        assert len(settings["secrets", "SER_METRICS_TOKEN"]) >= 16
        files = hub.files["ann/studio"]
        assert {"app.py", "README.md", "requirements.txt", "ui/app.py", "ser/weights/acoustic/head.safetensors"} <= set(
            files
        )
        assert not [name for name in files if name.startswith(("tests/", "data/", ".")) or "__pycache__" in name]
        (torch,) = re.findall(rb"(?m)^torch[>=<].*$", files["requirements.txt"])
        assert not Requirement(torch.decode()).specifier.contains("2.13.0")
        printed = capsys.readouterr().out
        assert "It is at https://ann-studio.hf.space" in printed and "hf_store_only" not in printed
        # Once more changes nothing that people have set.
        assert run_deploy(["ann/studio", "--store", "none"], {}, api) == 0
        assert "every restart of the Space loses" in capsys.readouterr().out


def test_what_cannot_be_deployed_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected USER/NAME"):
        run_deploy(["studio", "--dry-run"], {})
    with pytest.raises(SettingsError, match="SER_STORE_TOKEN"):
        run_deploy(["ann/studio"], {})
    with pytest.raises(SettingsError, match="is not the program's folder"):
        run_deploy(["ann/studio", "--dry-run", "--source", str(tmp_path)], {})
    with hub_stand_in() as hub, pytest.raises(ExchangeError, match="could not be deployed at step 1"):
        run_deploy(["ann/studio"], STORE_TOKEN, HfApi(endpoint=hub.url, token="hf_wrong"))


def test_the_front_matter_is_what_a_space_needs() -> None:
    head = yaml.safe_load((ROOT / "README.md").read_text(encoding="utf-8").split("---")[1])
    assert (head["sdk"], head["python_version"], head["app_file"], head["hf_oauth"]) == (
        "gradio",
        "3.12",
        "app.py",
        True,
    )
    assert re.fullmatch(r"\d+[mh]", head["startup_duration_timeout"])
    assert len(head["short_description"]) <= 60
    for name in [*head["models"], *head["datasets"], *(entry.split()[0] for entry in head["preload_from_hub"])]:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", name)
    requirements = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    gradio = next(Requirement(line) for line in requirements.splitlines() if line.startswith("gradio"))
    assert gradio.specifier.contains(head["sdk_version"])
    assert "authlib" in requirements and "itsdangerous" in requirements, "signing in needs them"


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = re.sub(r"(?m)^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8")).replace("\\\n", " ")
    return [
        (word, rest.strip()) for word, _, rest in (line.partition(" ") for line in text.splitlines() if line.strip())
    ]


def test_the_container_is_locked_down() -> None:
    found = instructions()
    names = [name for name, _ in found]
    runs = [rest for name, rest in found if name == "RUN"]
    torch = next(place for place, rest in enumerate(runs) if "torch" in rest)
    lock = next(place for place, rest in enumerate(runs) if "requirements.lock" in rest)
    assert torch < lock and "--require-hashes" in runs[lock] and "--no-deps" in runs[lock]
    assert re.search(r"python:3\.11[\w.-]*", found[names.index("FROM")][1]), "the lock is for 3.11"
    users = [rest for name, rest in found if name == "USER"]
    assert users and users[-1].split(":")[0] not in ("root", "0")
    assert "HEALTHCHECK" in names and "/healthz" in dict(found)["HEALTHCHECK"]
    assert not any(name == "ADD" or rest == ". ." for name, rest in found), "only what is named is copied"
    copied = " ".join(rest for name, rest in found if name == "COPY")
    assert all(name in copied for name in ("app.py", "ser", "annotations", "ui", "requirements.lock"))
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {"**", "!ser", "!ui", "!annotations"} <= set(ignored)
    service = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["studio"]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert any(str(volume).endswith(":/data") for volume in service["volumes"]) and "/tmp" in str(service["tmpfs"])
    assert service["stop_grace_period"] == "40s"
    assert all(port.startswith("127.0.0.1:") for port in service["ports"]), "a proxy or a tunnel opens it to others"


def docker_runs() -> bool:
    return bool(shutil.which("docker")) and subprocess.run(["docker", "info"], capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not docker_runs(), reason="no Docker engine answers on this machine")
def test_the_container_is_built_and_answers(tmp_path: Path) -> None:
    tag = "speech-emotion-studio:test"
    subprocess.run(["docker", "build", "--quiet", "--tag", tag, str(ROOT)], check=True, timeout=3000)
    command = ["docker", "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--tmpfs", "/data:uid=10001", tag, "doctor"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert said.returncode == 0, said.stdout + said.stderr
