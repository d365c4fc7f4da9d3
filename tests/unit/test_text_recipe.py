import csv
import random

import numpy as np
import pytest
import torch

from ser.errors import TrainingDataError
from ser.labels import DIALOGUE_SHARES, EMOTIONS, GOEMOTIONS
from ser.text.config import TextTrainConfig
from ser.text.data import LabelledTexts, RecogniserNoise, read_labelled_texts
from ser.text.recipe import split_dialogues
from ser.text.task import TextPart, TrainingRows, adversarial_losses, row_weights

TURNS = {  # the first dialogue of each pair or eight trains, the last is held out
    "dailydialog/validation.csv": [("0", "a turn of the first dialogue"), ("1", "a turn of the second dialogue")],
    "dialog-causes/train.csv": [(f"d{n}", f"Well , here we are at number {n} .") for n in range(8)],
    "dailydialog/test.csv": [("9", "Well, here we are at number 2.")],
    "dialog-causes/test.csv": [("9", "hello")],
}


@pytest.fixture
def dialogues(tmp_path):
    for name, turns in TURNS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("dialogue", "text", "label"), *((d, t, "neutral") for d, t in turns)])
    return tmp_path


def test_dialogues_are_split_whole_and_test_turns_left_out(dialogues):
    train, dev = split_dialogues(dialogues)
    assert dev.texts == ("a turn of the second dialogue", "Well, here we are at number 7.")
    assert "a turn of the first dialogue" in train.texts
    assert "Well, here we are at number 2." not in train.texts
    assert len(train) == 7 and set(train.texts).isdisjoint(dev.texts)


def test_turns_without_a_label_are_named(dialogues):
    (dialogues / "dailydialog/validation.csv").write_text("dialogue,text,label\n0,hi,neutral\n1,ho,boredom\n")
    with pytest.raises(TrainingDataError, match=r"validation\.csv has turns without words or a known label"):
        split_dialogues(dialogues)


def test_fine_labels_are_grouped_and_kept(tmp_path):
    (tmp_path / "rows.csv").write_text("text,labels\nthanks a lot,gratitude\nhow sad and odd,sadness confusion\n")
    rows = read_labelled_texts(tmp_path / "rows.csv")
    assert rows.labels == (("neutral",), ("sadness", "neutral"))
    assert rows.fine_labels == (("gratitude",), ("sadness", "confusion"))
    assert len(GOEMOTIONS) == 28 and set(GOEMOTIONS.values()) == set(EMOTIONS)
    (tmp_path / "coarse.csv").write_text("text,label\nyes,joy\n")
    assert read_labelled_texts(tmp_path / "coarse.csv").fine_labels == ()


def test_rows_count_by_rarity_and_by_the_shares_of_real_text():
    hot = np.eye(len(EMOTIONS), dtype=np.float32)[[0] * 30 + [4] * 10]
    assert row_weights(hot, 0.0) == pytest.approx(np.ones(40))
    balanced = row_weights(hot, 1.0)
    assert balanced[:30].sum() == pytest.approx(balanced[30:].sum())
    real = row_weights(hot, 0.0, DIALOGUE_SHARES)
    odds = DIALOGUE_SHARES["anger"] / DIALOGUE_SHARES["neutral"]
    assert real[:30].sum() / real[30:].sum() == pytest.approx(odds, rel=1e-4)
    assert real.mean() == pytest.approx(1, abs=1e-5)


def test_parts_without_finer_labels_have_no_loss_there():
    fine = LabelledTexts(("ta",), (("neutral",),), fine_labels=(("gratitude",),))
    plain = LabelledTexts(("oh no", "oh"), (("fear",), ("fear", "sadness")))
    rows = TrainingRows([TextPart("a", fine), TextPart("b", plain)], TextTrainConfig())
    assert rows.counts == [1, 2] and rows.fine_labels == ["gratitude"]
    assert rows.fine_weights.tolist() == [1, 0, 0]
    assert rows.targets.sum(1).tolist() == [1, 1, 1]


def test_noise_confuses_words_that_sound_alike_at_about_the_rate_asked_for():
    texts = ["their house is there by the sea", "the see is here", "i hear the night", "a knight was there"] * 10
    noise = RecogniserNoise(texts)
    assert "there" in noise.similar["their"] and "night" in noise.similar["knight"]
    text, rng = " ".join(["their night here"] * 400), random.Random(0)
    assert noise(text, 0.0, rng) == text
    changed = noise(text, 0.2, rng).split()
    kept = sum(word in ("their", "night", "here") for word in changed)
    assert 0.75 < kept / 1200 < 0.97
    assert noise("there", 1.0, random.Random(1)) != ""


def test_the_adversarial_step_raises_the_loss_and_leaves_the_module_as_it_was():
    torch.manual_seed(0)
    embeddings, head = torch.nn.Embedding(5, 4), torch.nn.Linear(4, 3)
    embeddings.requires_grad_(False)
    ids, truth = torch.tensor([[0, 1], [2, 3]]), torch.tensor([0, 1])

    def losses():
        return torch.nn.functional.cross_entropy(head(embeddings(ids).mean(1)), truth, reduction="none")

    plain = losses()
    both = adversarial_losses(losses, embeddings, 0.3)
    assert (both > 2 * plain + 0.01).all()
    both.mean().backward()
    assert head.weight.grad.abs().max() > 0
    torch.testing.assert_close(adversarial_losses(losses, embeddings, 0.0), plain)
