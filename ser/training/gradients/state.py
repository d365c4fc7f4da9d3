"""A training run on disk, so that it goes on after a kill: one file, replaced as a whole.

Knows a run only as tensors, numbers and texts.
"""

import hashlib
import json
import os
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ser.errors import TrainingDataError

STATE_FILE = "training.pt"
VERSION = 2
"""Of the file's form: raise it whenever a run could not go on from an older file."""

Identity = Mapping[str, Any]
"""All that must be the same for a run to go on: names to JSON values."""


@dataclass(frozen=True)
class RunState:
    """The folder that a run is kept in.

    Attributes:
        folder: made when first written to; holds nothing else.
        identity: of the run.
    """

    folder: Path
    identity: Identity

    def load(self) -> dict[str, Any] | None:
        """Read what was saved last; None if nothing was.

        Raises:
            TrainingDataError: if it is damaged, or of another run than this one.
        """
        path = self.folder / STATE_FILE
        if not path.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            version, theirs = state["version"], json.loads(state["identity"])
        except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
            raise TrainingDataError(f"{path} is damaged: {error}. Remove {self.folder} to begin anew.") from error
        if version != VERSION:
            raise TrainingDataError(
                f"{path} was written by another version of this program (form {version}, expected {VERSION}). "
                f"Remove {self.folder} to begin anew."
            )
        differences = describe_differences(theirs, json.loads(json.dumps(self.identity)))
        if differences:
            raise TrainingDataError(
                f"The interrupted training in {self.folder} is another one: {'; '.join(differences)}. Go on with what "
                "it began with, name another folder, or remove that one to begin anew."
            )
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Put `state` (tensors, numbers, texts, lists and dicts of them) in the place of what was saved before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        building = self.folder / f"{STATE_FILE}.tmp"
        with building.open("wb") as file:
            torch.save({**state, "version": VERSION, "identity": json.dumps(self.identity)}, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(building, self.folder / STATE_FILE)


def remove_state(folder: Path) -> None:
    """Remove the state of a run that is finished, with those of the runs it is made of, if there is any."""
    if not folder.is_dir():
        return
    for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
        remove_state(inner)
    for name in (STATE_FILE, f"{STATE_FILE}.tmp"):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


def has_state(folder: Path) -> bool:
    """Tell if an interrupted run is kept there, or in a folder inside."""
    return any(folder.rglob(STATE_FILE))


def describe_differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Write a phrase for each name whose value is not the same.

    >>> describe_differences({"data": "a", "config": {"epochs": 3}}, {"data": "b", "config": {"epochs": 5}})
    ['config.epochs was 3 and is 5', 'data is not the same']
    """
    phrases = []
    for name in sorted(set(before) | set(now)):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            phrases += [f"{name}.{phrase}" for phrase in describe_differences(old, new)]
        elif isinstance(old, str) and isinstance(new, str) and name not in ("tune", "device"):
            # Two hashes would tell a person nothing.
            phrases.append(f"{name} is not the same")
        else:
            phrases.append(f"{name} was {old} and is {new}")
    return phrases


def hash_tensors(tensors: Mapping[str, torch.Tensor]) -> str:
    """Hash names and values."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def random_states() -> dict[str, Any]:
    """Collect the states of Python's, numpy's and torch's common generators, which models may draw from."""
    name, keys, place, has_gauss, gauss = np.random.get_state(legacy=True)
    version, internal, spare = random.getstate()
    states: dict[str, Any] = {
        "python": [version, list(internal), spare],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), int(place), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_states(states: Mapping[str, Any]) -> None:
    """Put those generators back to such states."""
    version, internal, spare = states["python"]
    random.setstate((version, tuple(internal), spare))
    name, keys, place, has_gauss, gauss = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), place, has_gauss, gauss))
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
