"""What a network keeps of its base corpora without anybody's recording: prototypes in a small file beside its weights.

A prototype is what the network makes of several clips of one label and corpus, mixed; it can be answered for by the
part of the network that judges. Knows networks and features; reads no corpora.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ser.acoustic.network import AcousticModelForAudioClassification, pad_features
from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.training.dataset import FeatureSet
from ser.training.run_state import hash_tensors

PROTOTYPES_FILE = "prototypes.safetensors"

MIXED = 5
"""Clips in a prototype; a label of a corpus with fewer of them has none."""

PER_CELL = 16
"""Prototypes of each label of each corpus."""

REACH = 4.0
"""Deviations that the 255 levels of a rounded value span to either side."""

JUDGES = ("pool_norm", "embedding", "hidden_layer", "classifier", "intensity")
"""The parts of a member that judge what the others have heard."""

BATCH = 32
MAX_FRAMES = 600
"""Of a clip, six seconds: what the network hears at once when it answers."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Prototypes:
    """Mixtures of what a network heard.

    Attributes:
        values: float32 of shape (prototypes, size), as `pooled_statistics` gives them.
        labels: places in `EMOTIONS`, int64 of shape (prototypes,).
        corpora: of each.
        judging: which of them are of speakers kept out of training, bool of shape (prototypes,): those judge, the
            others are learnt again.
        hearing: hash of the part of the network that they come from, which must not have changed since.
    """

    values: Array
    labels: npt.NDArray[np.int64]
    corpora: tuple[str, ...]
    judging: npt.NDArray[np.bool_]
    hearing: str

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Prototypes":
        """Some of them."""
        corpora = tuple(corpus for corpus, kept in zip(self.corpora, chosen, strict=True) if kept)
        return Prototypes(self.values[chosen], self.labels[chosen], corpora, self.judging[chosen], self.hearing)

    @property
    def judges(self) -> "Prototypes":
        """Those that judge; all where none was kept apart."""
        return self.where(self.judging) if self.judging.any() else self

    @property
    def lessons(self) -> "Prototypes":
        """Those that are learnt again."""
        return self.where(~self.judging) if (~self.judging).any() else self

    def save(self, folder: Path) -> Path:
        """Write them beside the weights, rounded to 255 levels a value; returns the file."""
        mean, deviation = self.values.mean(0), self.values.std(0) + 1e-6
        levels = np.clip(np.rint((self.values - mean) / deviation / REACH * 127), -127, 127)
        path = folder / PROTOTYPES_FILE
        tensors = {
            "levels": levels.astype(np.int8),
            "mean": mean.astype(np.float32),
            "deviation": deviation.astype(np.float32),
            "labels": self.labels.astype(np.int8),
            "judging": self.judging.astype(np.int8),
        }
        save_file(tensors, path, {"corpora": ",".join(self.corpora), "hearing": self.hearing})
        return path


def load_prototypes(folder: Path, network: AcousticModelForAudioClassification) -> Prototypes | None:
    """The prototypes beside a model's weights; None where there are none, or they are of another network.

    Raises:
        ModelUnavailableError: where the file is damaged.
    """
    path = folder / PROTOTYPES_FILE
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            parts = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            said = file.metadata() or {}
        values = parts["mean"] + parts["levels"].astype(np.float32) / 127 * REACH * parts["deviation"]
        found = Prototypes(
            values.astype(np.float32),
            parts["labels"].astype(np.int64),
            tuple(said["corpora"].split(",")),
            parts["judging"].astype(np.bool_),
            said["hearing"],
        )
    except (SafetensorError, KeyError, ValueError) as error:
        raise ModelUnavailableError(
            f"{path} is damaged: {error}. Make it again with 'python -m ser prototypes', or remove it."
        ) from error
    return found if found.hearing == hearing_hash(network) else None


def make_prototypes(
    network: AcousticModelForAudioClassification,
    data: FeatureSet,
    judging: FeatureSet | None = None,
    *,
    per_cell: int = PER_CELL,
    seed: int = 0,
) -> Prototypes:
    """Mix what the network hears in clips, label by label and corpus by corpus.

    A prototype is the mean of its label and corpus, and of `MIXED` drawn clips what sets them apart from it, in random
    shares whose squares sum to 1: prototypes vary as clips do, and no clip is in them alone.
    Source: rehearsal of features in place of recordings, as in Hayes et al. 2020, "REMIND", and of class means and
    covariances, Zhang et al. 2023, "SLCA", https://arxiv.org/abs/2303.05118; the mixture is this project's own.

    Args:
        network: whose prototypes.
        data: what it was trained on, truths in `EMOTIONS`.
        judging: of the same corpora, speakers that it was not trained on.
        per_cell: prototypes of each label of each corpus, on each of the two sides.
        seed: of the draws.

    Returns:
        Those of `judging` last.
    """
    generator = np.random.default_rng(seed)
    values: list[Array] = []
    labels: list[int] = []
    corpora: list[str] = []
    sides: list[bool] = []
    for side, part in ((False, data), (True, judging)):
        if part is None or not len(part):
            continue
        heard = pooled_statistics(network, [variants[0] for variants in part.variants])
        truth, names = part.targets.argmax(1), np.array(part.corpora)
        for corpus in sorted(set(part.corpora)):
            for label in range(len(EMOTIONS)):
                cell = heard[(names == corpus) & (truth == label)]
                if len(cell) < MIXED:
                    continue
                values += [_mixture(cell, generator) for _ in range(per_cell)]
                labels += [label] * per_cell
                corpora += [corpus] * per_cell
                sides += [side] * per_cell
    if not values:
        raise ModelUnavailableError(f"No label has {MIXED} clips of one corpus; prototypes need that many. Give more.")
    return Prototypes(
        np.stack(values), np.array(labels), tuple(corpora), np.array(sides, dtype=np.bool_), hearing_hash(network)
    )


def _mixture(cell: Array, generator: np.random.Generator) -> Array:
    drawn = cell[generator.choice(len(cell), MIXED, replace=False)]
    mean = cell.mean(0)
    shares = generator.normal(size=MIXED)
    mixed = mean + (shares / np.linalg.norm(shares)) @ (drawn - mean)
    return np.asarray(mixed, dtype=np.float32)


def hearing_hash(network: AcousticModelForAudioClassification) -> str:
    """SHA-256 of the weights that hear rather than judge, in half precision, as they are saved."""
    state = network.state_dict()
    return hash_tensors({name: value.half() for name, value in state.items() if not _is_judge(name)})


def judging_parameters(network: AcousticModelForAudioClassification) -> list[torch.nn.Parameter]:
    """The weights that tell emotions apart by what was heard; those of the intensity stay out."""
    return [p for name, p in network.named_parameters() if _is_judge(name) and ".intensity." not in name]


def _is_judge(name: str) -> bool:
    return any(f".{part}." in name for part in JUDGES)


def pooled_statistics(network: AcousticModelForAudioClassification, clips: Sequence[npt.NDArray[np.floating]]) -> Array:
    """What the network's members hear in some clips, before they judge.

    Args:
        network: on the CPU.
        clips: features of shape (frames, FEATURE_SIZE) each.

    Returns:
        Shape (clips, size): the members' statistics over time side by side.
    """
    network.eval()
    heard: list[torch.Tensor] = []
    # What a member hears is handed on only inside of it: the judging part's first layer is listened at.
    hooks = [
        member.pool_norm.register_forward_hook(lambda _, given, __: heard.append(given[0]))
        for member in network.networks()
    ]
    rows: dict[int, Array] = {}
    # Clips of like length share a batch, so that little of it is padding.
    order = sorted(range(len(clips)), key=lambda place: len(clips[place]))
    try:
        for first in range(0, len(order), BATCH):
            places = order[first : first + BATCH]
            stacked, mask = pad_features([clips[p][:MAX_FRAMES].astype(np.float32) for p in places], multiple_of=32)
            heard.clear()
            with torch.inference_mode():
                network.embed(torch.from_numpy(stacked), torch.from_numpy(mask))
            rows |= dict(zip(places, torch.cat(heard, dim=1).float().numpy(), strict=True))
    finally:
        for hook in hooks:
            hook.remove()
    return np.stack([rows[place] for place in range(len(clips))])


def answer_pooled(network: AcousticModelForAudioClassification, pooled: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of the network's answer to what it heard, shape (clips, labels); see `pooled_statistics`."""
    members = network.networks()
    parts = pooled.split([member.pool_norm.num_features for member in members], dim=1)
    config = network.config
    answers = [
        weight * member.answer(member.project(part))[0]
        for weight, member, part in zip(config.weights(), members, parts, strict=True)
    ]
    logits = torch.stack(answers).sum(0)
    labels = [config.id2label[place] for place in range(config.num_labels)]
    counted = [labels.index(config.counts_as.get(name, name)) for name in config.heard()]
    if counted != list(range(len(labels))):
        groups = [[n for n, label in enumerate(counted) if label == place] for place in range(len(labels))]
        logits = torch.stack([torch.logsumexp(logits[:, group], dim=1) for group in groups], dim=1)
    return torch.log_softmax(logits, dim=1)


def uar_on_prototypes(network: AcousticModelForAudioClassification, prototypes: Prototypes) -> float:
    """Mean over corpora of the mean recall over their labels, 0..1."""
    network.eval()
    with torch.inference_mode():
        answers = answer_pooled(network, torch.from_numpy(prototypes.values)).argmax(1).numpy()
    hits, names = answers == prototypes.labels, np.array(prototypes.corpora)
    recalls = []
    for corpus in sorted(set(prototypes.corpora)):
        own = names == corpus
        recalls.append(np.mean([hits[own & (prototypes.labels == k)].mean() for k in set(prototypes.labels[own])]))
    return float(np.mean(recalls))
