"""Exports whole models: a folder or hub checkpoint in, a folder that `load_acoustic_model` opens out.

Nothing is left behind that answers differently from its original.
"""

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ser.acoustic.classifier import (
    WINDOW_DURATION,
    LoadedAcousticModel,
    NetworkModel,
    cut_windows,
    is_own_model,
    load_acoustic_model,
    model_folder,
)
from ser.acoustic.onnx import MODEL_FILE, is_exported
from ser.acoustic.torch_network import TorchNetwork
from ser.checkpoints import WEIGHTS_FILE, Meta, save_checkpoint
from ser.errors import ExportError
from ser.export.conversion import convert, refer_to_weights
from ser.export.parity import PARITY_CLIPS, Parity, compare
from ser.export.quantization import quantize
from ser.testing import synthetic_speech
from ser.types import SAMPLING_RATE, Audio

TOLERANCES: Mapping[str | None, float] = {None: 1e-3, "int8": 0.25}
"""Greatest difference of any probability, by quantisation. float32 differs by rounding alone (1e-5 was measured on the
embedded network); what int8 may move on a single clip is wide, and the change in recall tells whether it matters."""


@dataclasses.dataclass(frozen=True)
class Export:
    """What an export gave.

    Attributes:
        folder: of the exported model.
        original: the model that was exported, running in torch.
        exported: the same in ONNX form, as loaded from `folder`.
        quantized: None, or how: `int8 static` or `int8 dynamic`.
        parity: of the two.
    """

    folder: Path
    original: LoadedAcousticModel
    exported: LoadedAcousticModel
    quantized: str | None
    parity: Parity


def export_model(
    name_or_dir: str | Path,
    out: Path,
    *,
    int8: bool = False,
    clips: Sequence[Audio] = (),
    tolerance: float | None = None,
) -> Export:
    """Write a model in ONNX form to a folder of its own.

    Args:
        name_or_dir: `embedded`, a folder or a Hub id.
        out: the new folder.
        int8: whether to quantise.
        clips: real speech, cut to its regions, to calibrate static quantisation with and to compare answers on;
            without any, synthetic speech stands in.
        tolerance: greatest difference of any probability that is accepted; `TOLERANCES` where left out.

    Raises:
        ExportError: where the network cannot be expressed, or answers differently; nothing is left behind.
        ModelUnavailableError: where the model cannot be had, or `out` exists.
    """
    source = model_folder(name_or_dir)
    if is_exported(source):
        raise ExportError(f"{source} is in ONNX form already. Name the model that it was exported from.")
    original, network, meta = _open(source, str(name_or_dir))
    how: list[str] = []

    def write(folder: Path) -> None:
        graph = folder / MODEL_FILE
        _convert(original, network, graph, keep_parameters=False)
        if int8:
            plain = graph.rename(folder / "plain.onnx")
            how.append(f"int8 {quantize(plain, graph, _calibration(original, clips))}")
            plain.unlink()
        for name in ("config.json", "preprocessor_config.json"):
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)

    bound = TOLERANCES["int8" if int8 else None] if tolerance is None else tolerance
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        trial = Path(scratch) / "model"
        trial_meta = save_checkpoint(trial, write, meta, MODEL_FILE)
        parity = compare(original, load_acoustic_model(trial), [*PARITY_CLIPS, *clips[:50]], bound)
        quantized = how[0] if how else None
        figures = {"quantized": quantized, "source_sha256": original.sha256, "parity": dataclasses.asdict(parity)}
        final = dataclasses.replace(trial_meta, metrics={**meta.metrics, "export": figures})
        save_checkpoint(out, lambda folder: _copy(trial, folder), final, MODEL_FILE)
    return Export(out, original, load_acoustic_model(out), quantized, parity)


def write_beside(name_or_dir: str | Path, clips: Sequence[Audio] = ()) -> Export:
    """Put the ONNX form of one of our own models beside its weights, which it takes its parameters from.

    From then on `load_acoustic_model` answers with it on a CPU. It is ignored once the weights are replaced.

    Raises:
        ExportError: where it is no model of our own kind, or the two forms answer differently.
    """
    folder = model_folder(name_or_dir)
    if is_exported(folder) or not is_own_model(folder):
        raise ExportError(
            f"{folder} holds no network of our own kind with its weights, and only beside those can an ONNX form "
            "lie. Export it to a folder of its own with --out."
        )
    original, network, meta = _open(folder, str(name_or_dir))
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as scratch:
        graph = Path(scratch) / MODEL_FILE
        _convert(original, network, graph, keep_parameters=True)
        refer_to_weights(graph, folder / WEIGHTS_FILE)
        for path in (folder / WEIGHTS_FILE, folder / "config.json"):
            shutil.copyfile(path, Path(scratch) / path.name)
        trial = Path(scratch)
        (trial / "meta.json").write_bytes((folder / "meta.json").read_bytes())
        parity = compare(original, load_acoustic_model(trial), [*PARITY_CLIPS, *clips[:50]], TOLERANCES[None])
        graph.replace(folder / MODEL_FILE)
    return Export(folder, original, load_acoustic_model(folder), None, parity)


def _open(folder: Path, name: str) -> tuple[LoadedAcousticModel, TorchNetwork, Meta]:
    model = load_acoustic_model(folder, backend="torch")
    assert isinstance(model.network, TorchNetwork)
    if isinstance(model, NetworkModel):
        return model, model.network, model.meta
    return model, model.network, Meta(name, model.output_names)


def _convert(model: LoadedAcousticModel, network: TorchNetwork, path: Path, *, keep_parameters: bool) -> None:
    noise = np.random.default_rng(0).normal(0.0, 0.1, 4 * SAMPLING_RATE).astype(np.float32)
    short, long = (model.network_inputs([noise[:length], noise[-length:]]) for length in (32_000, 51_200))
    free = {
        name: [axis for axis in range(1, given.ndim) if given.shape[axis] != long[name].shape[axis]]
        for name, given in short.items()
    }
    tensors = {name: torch.from_numpy(given) for name, given in short.items()}
    convert(network.module, tensors, free, path, source_sha256=model.sha256, keep_parameters=keep_parameters)


def _calibration(model: LoadedAcousticModel, clips: Sequence[Audio]) -> Iterator[dict[str, Any]] | None:
    """For our own networks, which are mostly convolutions; checkpoints of others are mostly matrix products."""
    if not isinstance(model, NetworkModel):
        return None
    chosen = list(clips[:64]) or [synthetic_speech(2.5, pitch=90.0 + 15.0 * seed, seed=seed) for seed in range(16)]
    return (model.network_inputs(cut_windows(clip.signal, WINDOW_DURATION)[:1]) for clip in chosen)


def _copy(source: Path, target: Path) -> None:
    for path in source.iterdir():
        shutil.copyfile(path, target / path.name)
