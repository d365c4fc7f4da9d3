"""openSMILE functionals of recordings, kept between runs, and a linear support vector machine on them.

openSMILE's licence forbids commercial use, so it is a peer and no dependency: `worker` extracts the features in an
environment of its own, which is made once under the user's cache folder with the standard library's venv and pip.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from tqdm import tqdm

from ser.errors import SerError

Functionals = npt.NDArray[np.float32]

FEATURE_SETS = {"eGeMAPS": "eGeMAPSv02", "ComParE": "ComParE_2016"}
"""Name -> openSMILE's. Source: Eyben et al. 2016, https://doi.org/10.1109/TAFFC.2015.2457417 (88 functionals);
Schuller et al. 2016, https://doi.org/10.21437/Interspeech.2016-129 (6,373 functionals)."""

REQUIREMENTS = ("opensmile>=2.6,<3", "soundfile>=0.13", "soxr>=0.5", "numpy>=1.26")
STAMP = "peer.json"
"""Names what is installed; an environment without it was not finished."""

WORKER = Path(__file__).with_name("worker.py")
CHUNK = 100
"""Recordings of a call of the worker: what a stopped run loses at most."""

COSTS = (0.1, 1.0, 10.0, 100.0)
"""Values of C that are tried; the kernel has about 1 on its diagonal, so that they fit any number of features."""

INNER_FOLDS = 5


class PeerError(SerError):
    """A peer cannot be installed or run."""


def ensure_environment(folder: Path, requirements: Sequence[str] = REQUIREMENTS) -> Path:
    """Find an environment's Python; the environment is made if it is missing or of other packages.

    Args:
        folder: of the environment.
        requirements: packages, as pip takes them.

    Raises:
        PeerError: if pip fails.
    """
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    wanted = {"python": sys.version.split()[0], "requirements": list(requirements)}
    stamp = folder / STAMP
    if not stamp.is_file() or json.loads(stamp.read_text(encoding="utf-8")) != wanted:
        print(f"making the environment {folder} ...", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder)
        # The pip of this process installs there: an environment without pip is made in a tenth of the time.
        pip = ["-m", "pip", "--python", str(python), "install", "--quiet", *requirements]
        run_in(Path(sys.executable), pip if requirements else ["--version"])
        stamp.write_text(json.dumps(wanted), encoding="utf-8")
    return python


def run_in(python: Path, arguments: Sequence[str], text: str = "") -> str:
    """Run an environment's Python on one thread, and return what it prints.

    Args:
        python: of the environment.
        arguments: of the call.
        text: for its standard input.

    Raises:
        PeerError: if it fails; with the last lines it wrote.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # Another environment's packages must come from there alone.
    surroundings = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    command = [str(python), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=surroundings | threads, check=False)
    if done.returncode:
        raise PeerError(f"{python.parent.parent.name} failed ({done.returncode}): {done.stderr.strip()[-600:]}")
    return done.stdout


def functionals_of(paths: Sequence[Path], feature_set: str, folder: Path) -> Functionals:
    """Read or extract the functionals of recordings.

    Args:
        paths: of recordings that libsndfile reads.
        feature_set: a name in `FEATURE_SETS`.
        folder: of the environment and of kept features.

    Returns:
        Shape (recordings, functionals); what openSMILE leaves undefined is 0.

    Raises:
        PeerError: if openSMILE cannot be installed or fails.
    """
    kept = folder / "functionals" / feature_set
    kept.mkdir(parents=True, exist_ok=True)
    files = [kept / f"{hashlib.sha256(path.read_bytes()).hexdigest()[:24]}.npy" for path in paths]
    missing = [(path, file) for path, file in zip(paths, files, strict=True) if not file.is_file()]
    for first in tqdm(range(0, len(missing), CHUNK), unit=f"x {CHUNK} clips", disable=None if missing else True):
        chunk = missing[first : first + CHUNK]
        values, _ = extract([path for path, _ in chunk], feature_set, folder)
        for row, (_, file) in zip(values, chunk, strict=True):
            np.save(file, row)
    return np.nan_to_num(np.stack([np.load(file) for file in files]))


def extract(paths: Sequence[Path], feature_set: str, folder: Path) -> tuple[Functionals, npt.NDArray[np.float64]]:
    """Extract functionals; also the seconds each recording took, without decoding.

    Raises:
        PeerError: as `functionals_of`.
    """
    python = ensure_environment(folder / "environments" / "opensmile")
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "values.npz"
        request = {"paths": [str(path.resolve()) for path in paths], "out": str(out)}
        run_in(python, [str(WORKER), FEATURE_SETS[feature_set]], json.dumps(request))
        if not out.is_file():
            raise PeerError(f"openSMILE gave no answer for {len(paths)} recordings. Remove {folder} and run again.")
        with np.load(out) as answer:
            return answer["values"], answer["seconds"]


def normalise_by(values: Functionals, groups: npt.NDArray[np.str_]) -> Functionals:
    """Scale each feature to mean 0 and deviation 1 over every group's own rows; constant features become 0.

    Args:
        values: shape (recordings, features).
        groups: the speaker of each recording; no label is looked at.

    >>> normalise_by(np.array([[1.0], [3.0], [10.0], [30.0]], np.float32), np.array(list("aabb"))).ravel().tolist()
    [-1.0, 1.0, -1.0, 1.0]
    """
    out = np.zeros_like(values)
    for name in np.unique(groups):
        out[groups == name] = standardise(values[groups == name], values[groups == name])
    return out


def standardise(reference: Functionals, values: Functionals) -> Functionals:
    """Scale `values` by mean and deviation of `reference`; constant features become 0, outliers at most 10."""
    scaler = StandardScaler().fit(reference.astype(np.float64))
    # A feature that is constant but for rounding has a deviation of some 1e-7 of its size, and would explode.
    usable = np.sqrt(scaler.var_) > 1e-6 * np.maximum(1.0, np.abs(scaler.mean_))
    scaled = np.where(usable, scaler.transform(values.astype(np.float64)), 0.0)
    return np.asarray(np.clip(scaled, -10.0, 10.0), dtype=np.float32)


def train_svm(values: Functionals, truth: npt.NDArray[np.str_], groups: Sequence[object]) -> GridSearchCV:
    """Train with the best of `COSTS`, chosen by leaving out groups of the training rows in turn.

    Args:
        values: scaled features, shape (recordings, features).
        truth: label of each row.
        groups: rows of one group are left out together: the fold, the corpus or the speaker; two or more.

    Returns:
        A fitted search, which predicts from `kernel(rows, values)`.
    """
    machine = SVC(kernel="precomputed", class_weight="balanced")
    splitter = GroupKFold(min(INNER_FOLDS, len(set(groups))))
    search = GridSearchCV(machine, {"C": COSTS}, scoring="balanced_accuracy", cv=splitter)
    return search.fit(kernel(values, values), truth, groups=groups)


def kernel(rows: Functionals, known: Functionals) -> Functionals:
    """Inner products of rows, divided by the number of features."""
    return np.asarray(rows @ known.T / rows.shape[1])
