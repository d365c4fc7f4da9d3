"""Exports models to ONNX, and checkpoints of transformers, finished or fine-tuned here, to TorchScript, too.

The embedded encoder and its head become one file from log-mel to scores. Nothing is left behind that answers
differently from its original.
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
from ser.acoustic.classifier import LoadedAcousticModel, load_acoustic_model
from ser.acoustic.folders import HEAD_FILE, PIPELINE, is_pipeline, model_folder
from ser.acoustic.model import HERE, HeadModel
from ser.checkpoints.folder import MODEL_FILE, Meta, save_checkpoint, weights_sha256
from ser.checkpoints.torch_network import SCRIPT_FILE, TorchNetwork, is_exported
from ser.encoder.embedded import EmbeddedEncoder
from ser.encoder.pretrained import LoadedEncoder
from ser.encoder.states import extract, hidden_states, pool
from ser.errors import ExportError
from ser.export.conversion import convert, quantize, script
from ser.export.graphs import pipeline_graph
from ser.labels import EMOTIONS
from ser.protocols import AcousticModel
from ser.testing import synthetic_speech
from ser.types import SAMPLING_RATE, Audio, Signal

TOLERANCES: Mapping[bool, float] = {False: 1e-3, True: 0.25}
"""Greatest difference of any probability, by whether it is quantised. float32 differs by rounding alone; int8 may move
single clips far, and the change in recall tells if that matters."""

PIPELINE_TOLERANCES: Mapping[bool, float] = {True: 0.02, False: 0.35}
"""Greatest difference for the embedded pipeline, by whether its precision is the program's. In the graph, windows of
one recording share the scale of their 8-bit activations; the program embeds them one by one."""

PARITY_CLIPS: tuple[Audio, ...] = tuple(
    synthetic_speech(duration, pitch=110.0 + 40.0 * seed, seed=seed)
    for seed, duration in enumerate((0.3, 0.77, 1.6, 3.0, 5.9, 13.0))
)
"""From less than a window to several of them: a length that tracing froze shows here."""


@dataclasses.dataclass(frozen=True)
class Parity:
    """Difference between the answers of two forms of a model.

    Attributes:
        clips: that both answered, one by one.
        max_difference: of any probability of any clip.
        mean_difference: over all probabilities.
        same_label: share of clips with the same most probable emotion.
        tolerance: that `max_difference` was held against.
    """

    clips: int
    max_difference: float
    mean_difference: float
    same_label: float
    tolerance: float


COMPARED = 50
"""Clips of real speech at most that answers are compared on."""

FILES = {"onnx": MODEL_FILE, "torchscript": SCRIPT_FILE}


@dataclasses.dataclass(frozen=True)
class Export:
    """Result of an export.

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
        clips: real speech, cut to its regions, to compare answers on, in addition to synthetic speech.
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
    if isinstance(original, HeadModel) and original.head.means is not None:
        raise ExportError(
            f"{original.name} has labels of its own ({', '.join(original.head.classes)}), and exported models answer "
            "with the seven emotions. Export a version that was trained on them."
        )
    if isinstance(original, HeadModel) and isinstance(original.encoder, EmbeddedEncoder):
        if form != "onnx":
            raise ExportError(f"The embedded encoder runs on onnxruntime, not on torch. Take onnx in place of {form}.")
        write, meta, bound = _pipeline(original, original.encoder, int8)
        counted = file
    else:
        write, meta = _checkpoint(original, source, file, int8)
        bound = TOLERANCES[int8]
        counted = HEAD_FILE if isinstance(original, HeadModel) else file
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as scratch:
        trial = Path(scratch) / "model"
        written = save_checkpoint(trial, write, meta, counted)
        bound = bound if tolerance is None else tolerance
        parity = compare(original, load_acoustic_model(trial), [*PARITY_CLIPS, *clips[:COMPARED]], bound)
        quantized = "int8" if int8 else None
        figures = {"quantized": quantized, "source_sha256": original.sha256, "parity": dataclasses.asdict(parity)}
        final = dataclasses.replace(written, metrics={**meta.metrics, "export": figures})
        save_checkpoint(out, lambda folder: _copy(trial, folder), final, counted)
    return Export(out, original, load_acoustic_model(out), quantized, parity)


def compare(original: AcousticModel, other: AcousticModel, clips: Sequence[Audio], tolerance: float) -> Parity:
    """Let both forms answer every clip.

    Args:
        original: the model as it was.
        other: the same in another form.
        clips: at least one.
        tolerance: greatest difference of any probability that is accepted.

    Raises:
        ExportError: where they differ by more.
    """
    pairs = [(original.classify(clip), other.classify(clip)) for clip in clips]
    differences = np.abs([np.subtract(a.probabilities, b.probabilities) for a, b in pairs])
    worst = int(differences.max(axis=1).argmax())
    largest = float(differences.max())
    if not largest <= tolerance:
        raise ExportError(
            f"The exported model answers differently: a probability moved by {largest:.3g} on a clip of "
            f"{clips[worst].duration:.1f} s, more than the accepted {tolerance:g}. Nothing was written. Accept more "
            "with --tolerance, calibrate with --data, or export without --quantize."
        )
    same = float(np.mean([a.label == b.label for a, b in pairs]))
    return Parity(len(pairs), largest, float(differences.mean()), same, tolerance)


Write = Callable[[Path], object]
Inputs = Callable[[Signal], Mapping[str, torch.Tensor]]
Parts = tuple[nn.Module, Inputs, Meta, Callable[[Path], None]]


def _pipeline(model: HeadModel, encoder: EmbeddedEncoder, int8: bool) -> tuple[Write, Meta, float]:
    """Prepare a head with the embedded encoder under it as one file that needs nothing of this project."""
    precision = "int8" if int8 else "float32"
    graph = pipeline_graph(model.head, int8=int8)
    config = {**model.meta.config, "exported": PIPELINE, "precision": precision}
    meta = Meta(model.name, EMOTIONS, config=config, data=model.meta.data, metrics=model.meta.metrics)
    write: Write = lambda folder: (folder / MODEL_FILE).write_bytes(graph)  # noqa: E731
    return write, meta, PIPELINE_TOLERANCES[precision == encoder.precision]


def _checkpoint(model: LoadedAcousticModel, source: Path, file: str, int8: bool) -> tuple[Write, Meta]:
    """Prepare a checkpoint of transformers, finished or fine-tuned here."""
    network, inputs, meta, save_rest = _parts(model, source)

    def write(folder: Path) -> None:
        target = folder / file
        tensors, free = _tensors(inputs)
        if file == SCRIPT_FILE:
            script(network, tensors, target)
        else:
            convert(network, tensors, free, target)
        if int8:
            plain = target.rename(folder / "plain.onnx")
            quantize(plain, target)
            plain.unlink()
        for name in ("config.json", "preprocessor_config.json"):
            shutil.copyfile(source / name, folder / name)
        save_rest(folder)

    return write, meta


def _parts(model: LoadedAcousticModel, folder: Path) -> Parts:
    """Take a model apart: a network, its inputs for a window, the meta, and what lies with the graph."""
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
