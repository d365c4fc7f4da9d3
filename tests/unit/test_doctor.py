"""The doctor finds what is wrong, says what to do, and its exit code says if something has to be mended."""

from pathlib import Path

import pytest

from annotations.store import AnnotationStore
from ser.config import Settings
from ser.errors import SerError
from ser.testing import synthetic_speech
from tests.unit.elsewhere_stores import begin, joined
from ui.backend.logins import hash_line
from ui.backend.server import ServerSettings, main, parse_arguments
from ui.operations import doctor
from ui.operations.doctor import ADVICE, GOOD, WRONG, Finding, examine


def states(found: list[Finding]) -> dict[str, str]:
    """{check: its worst state}."""
    order = (GOOD, ADVICE, WRONG)
    return {one.check: max((o.state for o in found if o.check == one.check), key=order.index) for one in found}


def options(tmp_path: Path, *more: str) -> ServerSettings:
    return parse_arguments(["--data-dir", str(tmp_path / "data"), *more], {})


def test_a_machine_in_order(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = states(examine(options(tmp_path, "--store", str(tmp_path / "copy")), Settings(), {}))
    assert WRONG not in {state for name, state in found.items() if name != "packages"}
    assert {"python", "packages", "disk", "weights", "permissions", "store", "elsewhere", "network"} <= set(found)
    assert main(["doctor", "--data-dir", str(tmp_path / "data")]) in (0, 1)
    printed = capsys.readouterr().out
    assert "ok      python: Python 3." in printed and "Encoder in" in printed
    assert not (tmp_path / "data").exists(), "the doctor changes nothing"


def test_what_is_wrong_is_named_with_its_remedy(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with AnnotationStore(data) as store:
        clip = store.add_clip(synthetic_speech(0.5), source="page", consent=("training",))
        store.clip_path(clip).unlink()
    data.chmod(0o755)
    logins = tmp_path / "logins"
    logins.write_text(hash_line("ann", "long enough") + "\n")
    logins.chmod(0o644)
    server = options(tmp_path, "--auth-file", str(logins), "--host", "0.0.0.0", "--proxy")
    found = examine(server, Settings(), {"SPACE_ID": "ann/studio", "HTTPS_PROXY": "http://10.0.0.1:3128"})
    wrong = {one.check: one.do for one in found if one.state == WRONG and one.check != "packages"}
    assert wrong == {
        "store": f"python -m annotations --data-dir {data} check --repair",
        "elsewhere": "Name a place in SER_STORE, such as a private data set.",
        "logins": f"chmod 600 {logins}",
        "network": "Set NO_PROXY=localhost,127.0.0.1.",
    }
    assert (
        Finding("permissions", ADVICE, f"{data} holds voices, and everybody here may read it.", f"chmod 700 {data}")
        in found
    )


def test_a_full_disk_and_foreign_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LEAST_DISK", 1e18)
    (tmp_path / "model.bin").write_bytes(b"other weights")
    monkeypatch.setenv("SER_ENCODER_DIR", str(tmp_path))
    doctor.find_weights.cache_clear()
    try:
        found = states(examine(options(tmp_path), Settings(), {}))
    except SerError as error:  # pragma: no cover
        pytest.fail(f"a check ended the examination: {error}")
    finally:
        doctor.find_weights.cache_clear()
    assert found["disk"] == WRONG and found["weights"] == WRONG


def test_the_store_elsewhere_is_asked(tmp_path: Path) -> None:
    def said(url: str) -> Finding:
        (one,) = [one for one in examine(options(tmp_path, "--store", url), Settings(), {}) if one.check == "elsewhere"]
        return one

    copy = tmp_path / "copy"
    assert (said(str(copy)).state, copy.exists()) == (GOOD, False)
    assert "Nothing is at" in said(str(copy)).said
    with begin(tmp_path / "other") as store:
        saver = joined(store, str(copy))
        saver.save()
        saver.leave()
    assert said(str(copy)).state == GOOD and "last written" in said(str(copy)).said
    (copy / "store.json").write_text("{")
    assert said(str(copy)).state == WRONG and "damaged" in said(str(copy)).said
    (tmp_path / "file").write_text("no folder")
    assert said(str(tmp_path / "file")).state == WRONG
    assert said("hf://me/studio").state == WRONG
