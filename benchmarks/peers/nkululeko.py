"""nkululeko, a framework for speech emotion experiments, driven by its own .ini files in an environment of its own.

openSMILE's ComParE functionals, then a support vector machine or boosted trees, with EmoBox's folds as its groups that
are left out in turn. Source: Burkhardt et al. 2022, "Nkululeko: A Tool For Rapid Speaker Characteristics Detection",
https://aclanthology.org/2022.lrec-1.205 and https://github.com/felixbur/nkululeko (MIT). Knows nothing of our models.
"""

import csv
import io
import re
import shutil
import time
from collections.abc import Callable, Mapping
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from benchmarks.peers.environment import NKULULEKO, PeerError, ensure_environment, run_in, version_in
from benchmarks.peers.folds import Folds, summarise_folds
from ser.audio.decoding import decode_file
from ser.labels import RAVDESS_EIGHT
from ser.types import SAMPLING_RATE

FEATURE_SET = "ComParE_2016"

RESULTS = re.compile(r"LOGO results: \[([^\]]*)\]")
"""How nkululeko 1.14 writes the figures of the groups, in the order of their names."""


@dataclass(frozen=True)
class Recipe:
    """A [MODEL] section and the scaling that goes with it.

    Attributes:
        scale: `standard`, or `speaker` for each speaker's own mean and deviation.
        model: keys of the section.
    """

    scale: str
    model: Mapping[str, str]


RECIPES = {
    "SVM": Recipe("standard", {"type": "svm", "kernel": "linear", "C_val": "0.001"}),
    "SVM, features per speaker": Recipe("speaker", {"type": "svm", "kernel": "linear", "C_val": "0.001"}),
    "XGB": Recipe("standard", {"type": "xgb"}),
}
"""Its linear SVM at the C that suits thousands of standardised features; its boosted trees as they come."""


def run_nkululeko(
    folds: Folds, folder: Path, tell: Callable[[dict[str, Any]], None] = lambda figures: None
) -> dict[str, object]:
    """Every recipe on the folds.

    Args:
        folds: what is learnt and tested.
        folder: of environments; also holds the recordings in a format that nkululeko reads.
        tell: is told the figures after each recipe.

    Returns:
        {recipe: as `summarise_folds`, with `seconds`}, `features_ms` of a clip, and the `version`.

    Raises:
        PeerError: where it cannot be installed, fails, or writes something unexpected.
    """
    python = ensure_environment(NKULULEKO, folder)
    work = folder / "nkululeko"
    # A store left by another run would be taken for this one's.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    write_tables(folds, copy_recordings(folds, folder / "flac"), work)
    results: dict[str, object] = {"version": version_in(python, "nkululeko")}
    cold = 0.0
    for index, (name, recipe) in enumerate(RECIPES.items()):
        config = work / f"recipe{index}.ini"
        config.write_text(configuration(recipe, work), encoding="utf-8")
        if not index:
            # The first run extracts the features and keeps them; run again, it only learns.
            cold = _timed(python, config)
        seconds = _timed(python, config)
        results[name] = {**summarise_folds(_read_results(work)), "seconds": round(seconds, 1)}
        if not index:
            results["features_ms"] = round(1000 * (cold - seconds) / len(folds), 1)
        tell(dict(results))
    return results


def copy_recordings(folds: Folds, folder: Path) -> list[Path]:
    """The recordings as FLAC files at 16 kHz, kept between runs: nkululeko reads no Opus by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for path in tqdm(folds.paths, unit="clip", desc="copying", disable=None):
        copy = folder / f"{path.stem}.flac"
        if not copy.is_file():
            soundfile.write(copy, decode_file(path).signal, SAMPLING_RATE)
        copies.append(copy)
    return copies


def write_tables(folds: Folds, recordings: list[Path], work: Path) -> None:
    """`train.csv` and `test.csv` with each recording's fold.

    Which of the two a row is in says only on what scaling is fitted: all folds are left out in turn.
    """
    first = folds.numbers.min()
    for name, chosen in (("train", folds.numbers != first), ("test", folds.numbers == first)):
        with (work / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("file", "speaker", "emotion", "fold"))
            rows = zip(recordings, folds.speakers, folds.labels, folds.numbers, chosen, strict=True)
            writer.writerows((path, speaker, label, fold) for path, speaker, label, fold, here in rows if here)


def configuration(recipe: Recipe, work: Path) -> str:
    """The text of an .ini file that reads the tables in `work`."""
    config = ConfigParser()
    config.optionxform = str  # type: ignore[assignment, method-assign]
    config["EXP"] = {"root": f"{work}/", "name": "results", "runs": "1", "epochs": "1"}
    data = {"databases": "['train', 'test']", "target": "emotion", "labels": str(list(RAVDESS_EIGHT))}
    for name in ("train", "test"):
        data |= {name: str(work / f"{name}.csv"), f"{name}.type": "csv", f"{name}.absolute_path": "True"}
        data[f"{name}.split_strategy"] = name
    config["DATA"] = data
    config["FEATS"] = {"type": "['os']", "set": FEATURE_SET, "scale": recipe.scale}
    config["MODEL"] = {**recipe.model, "class_weight": "True", "logo": "6", "n_jobs": "1"}
    text = io.StringIO()
    config.write(text)
    return text.getvalue()


def _timed(python: Path, config: Path) -> float:
    for old in config.parent.rglob("logo_results.txt"):
        old.unlink()
    started = time.perf_counter()
    run_in(python, ["-m", "nkululeko.nkululeko", "--config", str(config)], cwd=config.parent)
    return time.perf_counter() - started


def _read_results(work: Path) -> list[float]:
    files = sorted(work.rglob("logo_results.txt"))
    found = RESULTS.search(files[0].read_text(encoding="utf-8")) if files else None
    if found is None:
        raise PeerError(f"nkululeko wrote no 'LOGO results' under {work}. Look at its files there.")
    return [float(value) for value in found.group(1).split(",")]
