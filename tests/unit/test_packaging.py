"""The package and its lists of requirements agree with each other and with what lies in the folders."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PROJECT["project"]["optional-dependencies"]
OWN_BUILD = "torch"
"""Not in the lock: each machine has its own build of it."""


def requirements(path: Path) -> dict[str, Requirement]:
    """{name: requirement} of a file; comments, and lines that name another file, are left out."""
    lines = (line.partition(" #")[0].strip() for line in path.read_text(encoding="utf-8").splitlines())
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {canonicalize_name(entry.name): entry for entry in found}


def locked() -> dict[str, tuple[str, list[str]]]:
    """{name: (version, hashes)} of the lock."""
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "requirements.lock").read_text(encoding="utf-8")).replace("\\\n", " ")
    rows = [line.split() for line in text.splitlines() if line.strip()]
    pins = {canonicalize_name(row[0].partition("==")[0]): (row[0].partition("==")[2], row[1:]) for row in rows}
    assert len(pins) == len(rows), "a package is there twice"
    return pins


def test_the_package_needs_what_a_space_installs() -> None:
    assert PROJECT["project"]["dynamic"] == ["dependencies"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.txt"]}


def test_the_dev_extra_is_the_list_for_development() -> None:
    listed = requirements(ROOT / "requirements-dev.txt")
    assert sorted(map(str, listed.values())) == sorted(str(Requirement(line)) for line in EXTRAS["dev"])


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - {"dev"}))
def test_an_extra_asks_for_the_versions_of_the_other_lists(extra: str) -> None:
    known = requirements(ROOT / "requirements.txt") | requirements(ROOT / "requirements-dev.txt")
    for line in EXTRAS[extra]:
        entry = Requirement(line)
        same = known.get(canonicalize_name(entry.name))
        assert same is None or same.specifier == entry.specifier, line
    if extra == "train":
        assert {canonicalize_name(Requirement(line).name) for line in EXTRAS[extra]} <= set(known)


def test_the_lock_pins_every_requirement_with_hashes() -> None:
    pins = locked()
    for name, entry in requirements(ROOT / "requirements.txt").items():
        if name == OWN_BUILD:
            assert name not in pins
            continue
        assert name in pins, f"{name} is not in requirements.lock: run `make lock`"
        assert entry.specifier.contains(pins[name][0]), f"{name} {pins[name][0]} is not {entry}: run `make lock`"
    for name, (version, hashes) in pins.items():
        assert version and hashes, name
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", text) for text in hashes), name
    assert "://" not in (ROOT / "requirements.lock").read_text(encoding="utf-8"), "it names a host"


@pytest.mark.parametrize("command", sorted(PROJECT["project"]["scripts"]))
def test_a_command_names_a_function(command: str) -> None:
    module, _, function = PROJECT["project"]["scripts"][command].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_every_file_of_the_packages_is_packed() -> None:
    for package in ("ser", "annotations", "ui"):
        patterns = PROJECT["tool"]["setuptools"]["package-data"].get(package, [])
        packed = {path for pattern in patterns for path in (ROOT / package).glob(pattern)}
        files = (path for path in (ROOT / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        forgotten = [path for path in files if path.suffix != ".py" and path not in packed]
        assert not forgotten
        folders = {path.parent for path in (ROOT / package).rglob("*.py")}
        assert all((folder / "__init__.py").is_file() for folder in folders), "a folder without it is no package"
