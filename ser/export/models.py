"""Exports models to ONNX, and checkpoints of transformers, finished or fine-tuned here, to TorchScript, too.

Nothing is left behind that answers differently from its original. The embedded encoder is `ser.export.pipeline`'s.
"""

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ser.acoustic.checkpoint import CheckpointModel
from ser.acoustic.classifier import LoadedAcousticModel, load_acoustic_model, model_folder
from ser.acoustic.exported import is_pipeline
from ser.acoustic.head import HEAD_FILE
from ser.acoustic.model import HERE, HeadModel
from ser.checkpoints.folder import Meta, save_checkpoint, weights_sha256
from ser.checkpoints.onnx import MODEL_FILE
from ser.checkpoints.torch_network import SCRIPT_FILE, TorchNetwork, is_exported
from ser.encoder.embedded import EmbeddedEncoder
from ser.encoder.pretrained import LoadedEncoder
from ser.encoder.states import extract, hidden_states, pool
from ser.errors import ExportError
from ser.export.conversion import convert, script
from ser.export.parity import PARITY_CLIPS, Parity, compare
from ser.export.pipeline import export_pipeline
from ser.export.quantization import quantize
from ser.types import SAMPLING_RATE, Audio, Signal

TOLERANCES: Mapping[bool, float] = {False: 1e-3, True: 0.25}
"""Greatest difference of any probability, by whether it is quantised. float32 differs by rounding alone; what int8 may
move on a single clip is wide, and the change in recall tells whether it matters."""

FILES = {"onnx": MODEL_FILE, "torchscript": SCRIPT_FILE}


@dataclasses.dataclass(frozen=True)
class Export:
    """What an export gave.

    Attributes:
        folder: of the exported model.
        original: the model that was exported.
        exported: the same in its new form, as loaded from `folder`.
        quantized: None, or `int8`.
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
    form: str = "onnx",
    int8: bool = False,
    clips: Sequence[Audio] = (),
    tolerance: float | None = None,
) -> Export:
    """Write a model in another form to a folder of its own, which `load_acoustic_model` opens.

    Args:
        name_or_dir: `embedded`, a folder or a Hub id: a head on the embedded encoder, an encoder that was fine-tuned
            here, or an audio classification checkpoint.
        out: the new folder.
        form: `onnx` or `torchscript`.
        int8: whether to quantise the weights of matrix products; of ONNX only.
        clips: real speech, cut to its regions, to compare answers on besides synthetic speech.
        tolerance: greatest difference of any probability that is accepted; `TOLERANCES` if left out.

    Raises:
        ExportError: if the network cannot be expressed, or answers differently; nothing is left behind.
        ModelUnavailableError: if the model cannot be had, or `out` exists.
    """
    if int8 and form != "onnx":
        raise ExportError(f"int8 is for ONNX; {form} keeps float32. Leave --quantize out, or take --format onnx.")
    source, file = model_folder(name_or_dir), FILES[form]
    if is_pipeline(source) or is_exported(source):
        raise ExportError(f"{source} is exported already. Name the model that it was exported from.")
    original = load_acoustic_model(name_or_dir)
    if isinstance(original, HeadModel) and isinstance(original.encoder, EmbeddedEncoder):
        if form != "onnx":
            raise ExportError(f"The embedded encoder runs on onnxruntime, not on torch. Take onnx in place of {form}.")
        parity = export_pipeline(original, out, int8=int8, clips=clips[:50], tolerance=tolerance)
        return Export(out, original, load_acoustic_model(out), "int8" if int8 else None, parity)
    network, inputs, meta, save_rest = _parts(original, source)

    def write(folder: Path) -> None:
        target = folder / file
        if form == "torchscript":
            script(network, _tensors(inputs)[0], target, source_sha256=original.sha256)
        else:
            tensors, free = _tensors(inputs)
            convert(network, tensors, free, target, source_sha256=original.sha256)
        if int8:
            plain = target.rename(folder / "plain.onnx")
            quantize(plain, target)
            plain.unlink()
        for name in ("config.json", "preprocessor_config.json"):
            shutil.copyfile(source / name, folder / name)
        save_rest(folder)

    bound = TOLERANCES[int8] if tolerance is None else tolerance
    counted = HEAD_FILE if isinstance(original, HeadModel) else file
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        trial = Path(scratch) / "model"
        written = save_checkpoint(trial, write, meta, counted)
        parity = compare(original, load_acoustic_model(trial), [*PARITY_CLIPS, *clips[:50]], bound)
        quantized = "int8" if int8 else None
        figures = {"quantized": quantized, "source_sha256": original.sha256, "parity": dataclasses.asdict(parity)}
        final = dataclasses.replace(written, metrics={**meta.metrics, "export": figures})
        save_checkpoint(out, lambda folder: _copy(trial, folder), final, counted)
    return Export(out, original, load_acoustic_model(out), quantized, parity)


Inputs = Callable[[Signal], Mapping[str, torch.Tensor]]
Parts = tuple[nn.Module, Inputs, Meta, Callable[[Path], None]]


def _parts(model: LoadedAcousticModel, folder: Path) -> Parts:
    """What is exported of a model: a network, its inputs for a window, the meta, and what lies with the graph."""
    if isinstance(model, CheckpointModel):
        finished = model
        assert isinstance(model.network, TorchNetwork)

        def inputs(signal: Signal) -> Mapping[str, torch.Tensor]:
            return {name: torch.from_numpy(array) for name, array in finished.network_inputs([signal]).items()}

        return model.network.module, inputs, Meta(model.name, model.output_names), lambda place: None
    if (
        not isinstance(model, HeadModel)
        or not isinstance(model.encoder, LoadedEncoder)
        or model.head.encoder != str(folder.absolute())
    ):
        raise ExportError(
            f"{folder} is a head on a frozen encoder of another folder; an encoder that was fine-tuned with its "
            "head, or a finished checkpoint, can be exported."
        )
    encoder, head = model.encoder, model.head
    config: dict[str, object] = {**model.meta.config, "encoder": HERE}

    def embedding_inputs(signal: Signal) -> Mapping[str, torch.Tensor]:
        # Windows pass one by one, so that there is nothing to mask.
        given = extract(encoder.extractor, [signal])
        return {name: value for name, value in given.items() if name != "attention_mask"}

    def save_head(place: Path) -> None:
        shutil.copyfile(folder / HEAD_FILE, place / HEAD_FILE)
        # Known once the graph is written; meta.json is written after that.
        config["encoder_sha256"] = weights_sha256(place, without=HEAD_FILE)

    meta = Meta(model.name, head.labels, head.temperature, config, data=model.meta.data)
    return _PooledEncoder(encoder.model), embedding_inputs, meta, save_head


class _PooledEncoder(nn.Module):
    """An encoder up to the pooled embedding."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"pooled": pool(*hidden_states(self.model, inputs))}


def _tensors(inputs: Inputs) -> tuple[dict[str, torch.Tensor], dict[str, list[int]]]:
    """Example inputs of two rows, and the axes of each that change with the length of a recording."""
    noise = np.random.default_rng(0).normal(0.0, 0.1, 4 * SAMPLING_RATE).astype(np.float32)
    short, long = inputs(noise[:32_000]), inputs(noise[:51_200])
    free = {
        name: [axis for axis in range(1, given.ndim) if given.shape[axis] != long[name].shape[axis]]
        for name, given in short.items()
    }
    other = inputs(noise[-32_000:])
    return {name: torch.cat([given, other[name]]) for name, given in short.items()}, free


def _copy(source: Path, target: Path) -> None:
    for path in source.iterdir():
        shutil.copyfile(path, target / path.name)
