"""Labelled dialogues as a training task: feelings of all turns, and causes of those that have a feeling."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ser.config import LoopConfig
from ser.conversation.model.dialogues import Dialogue
from ser.conversation.model.network import DialogueBatch, DialogueNetwork
from ser.conversation.model.tokens import DialogueTokenizer, Row, Window, cut_windows, number_speakers
from ser.evaluation.metrics import macro_f1
from ser.labels import EMOTIONS
from ser.text.data import as_transcript
from ser.text.task import row_weights
from ser.training.gradients.task import DevFigures, Places, Task

NEUTRAL = EMOTIONS.index("neutral")
EVALUATION_BATCH = 16
LEFT_OUT = -1


@dataclass(frozen=True)
class DialogueTrainConfig(LoopConfig):
    """Settings of the dialogue model's training.

    Attributes:
        context: False lets each turn be read without those before it, to measure what they give.
        dropout: on vectors of turns and in the cause head.
        class_balance: power of the rarity of a label that weighs its turns.
        cause_weight: of the causes' loss relative to the emotions'.
        told_share: share of targets whose label the cause head is told; it gets predicted probabilities for the rest.
        transcript_share: share of dialogues shown without case and punctuation.
    """

    tune: str = "lora"
    lora_rank: int = 16
    epochs: int = 4
    batch_size: int = 8
    learning_rate: float = 1e-3
    warmup: float = 0.06
    context: bool = True
    dropout: float = 0.1
    class_balance: float = 0.35
    cause_weight: float = 2.0
    told_share: float = 0.6
    transcript_share: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_shares("dropout", "class_balance", "told_share", "transcript_share")


@dataclass(frozen=True)
class Example:
    """A window of a dialogue, as written and as a transcript, with the labels of its turns."""

    dialogue: int
    window: Window
    forms: tuple[Row, Row]
    speakers: tuple[int, ...]
    emotions: npt.NDArray[np.int64]
    causes: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Answers:
    """Logits on dialogues, and the truth.

    Attributes:
        emotions: of each turn, shape (turns, 7).
        truth: index of the label of each turn.
        pairs: a logit of each pair of a turn of feeling and a turn up to it; targets told their label.
        predicted_pairs: the same with the label predicted.
        causes: 1 for each pair that is a cause, else 0.
    """

    emotions: npt.NDArray[np.float32]
    truth: npt.NDArray[np.int64]
    pairs: npt.NDArray[np.float32]
    predicted_pairs: npt.NDArray[np.float32]
    causes: npt.NDArray[np.int64]

    def score(self) -> tuple[float, float]:
        """Compute macro-F1 of the emotions and of the pairs, a logit above 0 being a cause."""
        names, answers = [EMOTIONS[i] for i in self.truth], [EMOTIONS[i] for i in self.emotions.argmax(1)]
        return macro_f1(names, answers, EMOTIONS), sum(pair_f1(self.causes, self.pairs > 0)) / 2


def pair_f1(truth: npt.NDArray[np.int64], said: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Compute F1 of pairs that are causes, and of those that are none.

    >>> pair_f1(np.array([1, 0, 0, 1]), np.array([True, False, True, True]))
    (0.8, 0.6666666666666666)
    """
    both = []
    for value in (1, 0):
        true, answered = truth == value, said == bool(value)
        both.append(float(2 * (true & answered).sum() / max(1, true.sum() + answered.sum())))
    return both[0], both[1]


def make_examples(dialogues: Sequence[Dialogue], balance: float) -> list[Example]:
    """Cut dialogues into windows; labels of the turns that only give context are left out."""
    tokenizer = DialogueTokenizer()
    labels = np.concatenate([dialogue.labels for dialogue in dialogues])
    weights = row_weights(np.eye(len(EMOTIONS), dtype=np.float32)[labels], balance)
    examples, seen = [], 0
    for number, dialogue in enumerate(dialogues):
        forms = [tokenizer.tokenize(texts) for texts in (dialogue.texts, [as_transcript(t) for t in dialogue.texts])]
        speakers = number_speakers(dialogue.speakers)
        own = weights[seen : seen + len(speakers)]
        seen += len(speakers)
        for window in cut_windows([max(map(len, both)) for both in zip(*forms, strict=True)]):
            span = slice(window.first, window.end)
            answered = np.arange(window.first, window.end) >= window.answered
            rows = tuple(tokenizer.row(form[span], speakers[span]) for form in forms)
            emotions = np.where(answered, dialogue.labels[span], LEFT_OUT)
            causes = _causes(dialogue, window, emotions)
            examples.append(
                Example(number, window, (rows[0], rows[1]), tuple(speakers[span]), emotions, causes, own[span])
            )
    return examples


def _causes(dialogue: Dialogue, window: Window, emotions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    size = window.end - window.first
    table = np.full((size, size), LEFT_OUT)
    if dialogue.causes is None:
        return table
    for target in np.flatnonzero((emotions != LEFT_OUT) & (emotions != NEUTRAL)):
        named = dialogue.causes[window.first + target]
        table[target, : target + 1] = [window.first + candidate in named for candidate in range(target + 1)]
    return table


def collate(
    examples: Sequence[Example], transcripts: Iterable[bool], told: Sequence[npt.NDArray[np.bool_]], device: str = "cpu"
) -> DialogueBatch:
    """Pad examples to one batch; the tokens' width is rounded up to a multiple of 16."""
    rows = [example.forms[int(form)] for example, form in zip(examples, transcripts, strict=True)]
    width = -(-max(len(row.ids) for row in rows) // 16) * 16
    turns = max(len(example.speakers) for example in examples)

    def padded(values: Sequence[npt.NDArray[np.generic]], size: int, fill: int) -> Tensor:
        out = np.full((len(values), size), fill, dtype=values[0].dtype)
        for row, value in zip(out, values, strict=True):
            row[: len(value)] = value
        return torch.from_numpy(out).to(device)

    causes = np.full((len(examples), turns, turns), LEFT_OUT)
    for table, example in zip(causes, examples, strict=True):
        table[: len(example.causes), : len(example.causes)] = example.causes
    return DialogueBatch(
        padded([row.ids for row in rows], width, 0),
        padded([row.owners for row in rows], width, -1),
        padded([row.words for row in rows], width, 0),
        padded([row.speakers for row in rows], width, 0),
        padded([np.array(example.speakers) for example in examples], turns, -1),
        padded([example.emotions for example in examples], turns, LEFT_OUT),
        padded([given.astype(np.int64) for given in told], turns, 0),
        torch.from_numpy(causes).to(device),
        padded([example.weights for example in examples], turns, 0),
    )


class DialogueTask(Task):
    """Dialogues that the network is trained on, and those that choose the epoch.

    Args:
        train: to train on.
        dev: to measure each epoch on.
        config: of the run.
        device: of the run.
    """

    config: DialogueTrainConfig

    def __init__(
        self, train: Sequence[Dialogue], dev: Sequence[Dialogue], config: DialogueTrainConfig, device: str = "cpu"
    ) -> None:
        self.examples = make_examples(train, config.class_balance)
        self.dev, self.device = make_examples(dev, 0.0), device
        lengths = np.array([len(example.forms[0].ids) for example in self.examples])
        super().__init__(len(self.examples), config, lengths)

    def draw(self, places: Places, epoch: int, step: int, part: int) -> DialogueBatch:
        """Draw the forms of some dialogues, and the turns whose label the cause head is told."""
        rng = np.random.default_rng([self.config.seed, epoch, step, part])
        chosen = [self.examples[place] for place in places]
        told = [rng.random(len(example.speakers)) < self.config.told_share for example in chosen]
        transcripts = (rng.random(len(chosen)) < self.config.transcript_share).tolist()
        return collate(chosen, transcripts, told, self.device)

    def weights(self, batch: DialogueBatch) -> Tensor:
        """Weigh each dialogue by its turns."""
        return (batch.emotions != LEFT_OUT).sum(1).float()

    def losses(self, model: nn.Module, batch: DialogueBatch) -> Tensor:
        """Compute the mean cross-entropy of a dialogue's turns and the weighted one of its pairs."""
        emotions, causes = model(batch)
        there = batch.emotions != LEFT_OUT
        each = nn.functional.cross_entropy(emotions.transpose(1, 2), batch.emotions.clamp(min=0), reduction="none")
        felt = (each * batch.weights * there).sum(1) / there.sum(1).clamp(min=1)
        pairs = batch.causes != LEFT_OUT
        each = nn.functional.binary_cross_entropy_with_logits(
            causes, batch.causes.clamp(min=0).float(), reduction="none"
        )
        caused = (each * pairs).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)
        return felt + self.config.cause_weight * caused

    def evaluate(self, network: nn.Module) -> DevFigures:
        """Return the mean of the two macro-F1 scores."""
        assert isinstance(network, DialogueNetwork)
        emotions, pairs = answer(network, self.dev, self.device).score()
        return DevFigures((emotions + pairs) / 2, {"dev_macro_f1": emotions, "dev_pairs_macro_f1": pairs})


@torch.inference_mode()
def answer(network: DialogueNetwork, examples: Sequence[Example], device: str = "cpu") -> Answers:
    """Compute the logits of dialogues as written."""
    network.eval()
    order = np.argsort([len(example.forms[0].ids) for example in examples])
    found: dict[int, tuple[npt.NDArray[np.float32], ...]] = {}
    for first in range(0, len(order), EVALUATION_BATCH):
        places = order[first : first + EVALUATION_BATCH]
        chosen = [examples[place] for place in places]
        emotions, told, predicted = _logits(network, chosen, device)
        for row, (place, example) in enumerate(zip(places, chosen, strict=True)):
            size = len(example.speakers)
            found[int(place)] = (emotions[row, :size], told[row, :size, :size], predicted[row, :size, :size])
    logits, truth, pairs, alone, causes = [], [], [], [], []
    for place, example in enumerate(examples):
        there, asked = example.emotions != LEFT_OUT, example.causes != LEFT_OUT
        logits.append(found[place][0][there])
        truth.append(example.emotions[there])
        pairs.append(found[place][1][asked])
        alone.append(found[place][2][asked])
        causes.append(example.causes[asked])
    return Answers(*(np.concatenate(part) for part in (logits, truth, pairs, alone, causes)))


def _logits(
    network: DialogueNetwork, examples: Sequence[Example], device: str
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    written = [False] * len(examples)
    answers = []
    for told in (True, False):
        given = [np.full(len(example.speakers), told) for example in examples]
        answers.append(network(collate(examples, written, given, device)))
    (emotions, first), (_, second) = answers
    return emotions.cpu().numpy(), first.cpu().numpy(), second.cpu().numpy()
