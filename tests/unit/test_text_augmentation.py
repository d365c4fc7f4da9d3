import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, MarianConfig, MarianMTModel, RobertaConfig, RobertaForMaskedLM

from ser.cli import main
from ser.errors import ModelUnavailableError, TrainingDataError
from ser.text.classifier import load_text_model
from ser.text.data import LabelledTexts
from ser.text.language_models import adapt_to_domain, back_translate, replace_with_near_words
from tests.unit.test_text_classifier import SMALL, WORDS, save_checkpoint, save_tokenizer

LABELS = {"i am so happy": "happiness", "you hate this": "anger", "the door is open": "neutral"}
TEXTS = LabelledTexts(tuple(LABELS), tuple((label,) for label in LABELS.values()))


def save_masked(folder):
    torch.manual_seed(0)
    BertForMaskedLM(BertConfig(**SMALL, intermediate_size=32)).save_pretrained(folder)
    save_tokenizer(folder, mask="[UNK]")
    return folder


def save_translator(folder):
    torch.manual_seed(1)
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}  # fmt: skip
    ids = {"pad_token_id": 0, "eos_token_id": 3, "decoder_start_token_id": 0, "forced_eos_token_id": None}
    MarianMTModel(MarianConfig(vocab_size=len(WORDS), **sizes, **ids)).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def test_near_words_keep_the_label_and_change_the_text(tmp_path):
    texts = LabelledTexts(TEXTS.texts * 8, TEXTS.labels * 8)
    new = replace_with_near_words(texts, save_masked(tmp_path), seed=1)
    assert 0 < len(new) < len(texts)
    assert set(new.texts).isdisjoint(TEXTS.texts)
    assert {word for text in new.texts for word in text.split()} <= set(WORDS)
    for text, (label,) in zip(new.texts, new.labels, strict=True):
        old = next(text for text, its in LABELS.items() if its == label)
        assert set(text.split()) & set(old.split())
    assert replace_with_near_words(texts, tmp_path, seed=1).texts == new.texts


def test_back_translation_keeps_the_labels(tmp_path):
    model = save_translator(tmp_path)
    new = back_translate(TEXTS, model, model, seed=2)
    assert set(new.labels) <= set(TEXTS.labels) and len(new)
    assert set(new.texts).isdisjoint(TEXTS.texts)
    assert back_translate(TEXTS, model, model, seed=2).texts == new.texts


def test_models_of_another_kind_are_refused(tmp_path):
    save_checkpoint(tmp_path, ["a", "b"])
    with pytest.raises(ModelUnavailableError, match="cannot be loaded as a translation model"):
        back_translate(TEXTS, tmp_path, tmp_path)
    with pytest.raises(ModelUnavailableError, match="has no token for masks"):
        replace_with_near_words(TEXTS, save_masked_without_mask(tmp_path / "masked"))


def save_masked_without_mask(folder):
    RobertaForMaskedLM(RobertaConfig(**SMALL, intermediate_size=32, pad_token_id=0)).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def test_domain_text_changes_the_encoder_and_its_loss_falls(tmp_path):
    start = save_masked(tmp_path / "start")
    lines = tmp_path / "lines.txt"
    lines.write_text("\n".join(["i am so happy this door is open", "you love this very door"] * 20))
    first = adapt_to_domain(start, lines, tmp_path / "once", epochs=1)
    later = adapt_to_domain(start, lines, tmp_path / "often", epochs=30)
    assert later < first
    lines.write_text("too little\n")
    with pytest.raises(TrainingDataError, match="has 1 lines of text; at least 20 are needed"):
        adapt_to_domain(start, lines, tmp_path / "none")


def test_the_command_trains_a_pretrained_model_with_all_of_it(tmp_path):
    start, rows, lines = save_masked(tmp_path / "start"), tmp_path / "rows.csv", tmp_path / "lines.txt"
    rows.write_text("text,label\n" + "\n".join(f"{text},{label}" for text, label in LABELS.items()))
    lines.write_text("i am so happy this door is open\n" * 20)
    out = tmp_path / "out"
    done = main(
        [
            "train",
            "--text",
            str(rows),
            "--dev",
            str(rows),
            "--out",
            str(out),
            "--init",
            str(start),
            "--tune",
            "head",
            "--set",
            "batch_size=3",
            "--set",
            "adversarial=0.05",
            "--epochs",
            "2",
            "--pretrain-on",
            str(lines),
            "--near-words",
            str(start),
            "--back-translate",
            str(save_translator(tmp_path / "mt")),
            str(tmp_path / "mt"),
            "--log-to",
            "tensorboard",
            "--device",
            "cpu",
        ]  # fmt: skip
    )
    assert done == 0
    assert load_text_model(out).labels[0] == "anger"
    assert any((tmp_path / "out.logs").iterdir())


@pytest.mark.parametrize(
    "more, message",
    [
        (["--resume"], "--resume: of recordings only"),
        (["--pretrain-on", "x.txt"], "--pretrain-on needs --init"),
        (["--tune", "full"], "trained by 'lora' only"),
        (["--set", "depth=3"], "NAME being one of tune, lora_rank"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(tmp_path, capsys, more, message):
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\ni am so happy,happiness\nyou hate this,anger\n")
    assert main(["train", "--text", str(rows), "--dev", str(rows), "--out", str(tmp_path / "out"), *more]) != 0
    assert message in capsys.readouterr().err
