import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from ser.errors import ModelUnavailableError
from ser.labels import EMOTIONS
from ser.text.classifier import evaluate_text, load_text_model

WORDS = "[PAD] [UNK] [CLS] [SEP] i am so happy sad angry you hate love this the door is open not very ##ly".split()
SMALL = {"vocab_size": len(WORDS), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXTS = ["i am so happy", "you hate this", "", "the door is open", "i love love love this very door " * 40]

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"


def save_tokenizer(folder, padding=True, mask=None):
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    if padding:
        names["pad_token"] = "[PAD]"
    if mask:
        names["mask_token"] = mask
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=512, **names).save_pretrained(folder)


def save_checkpoint(folder, labels, kind="bert", seed=0, **options):
    torch.manual_seed(seed)
    named = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}, **options}
    if kind == "bert":
        model = BertForSequenceClassification(BertConfig(**SMALL, intermediate_size=32, **named))
    elif kind == "roberta":
        config = RobertaConfig(**SMALL, intermediate_size=32, max_position_embeddings=66, pad_token_id=0, **named)
        model = RobertaForSequenceClassification(config)
    else:
        sizes = {"vocab_size": len(WORDS), "dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32}
        model = DistilBertForSequenceClassification(DistilBertConfig(**sizes, **named))
    with torch.no_grad():  # a fresh head answers much the same to everything
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    save_tokenizer(folder)
    return model.eval()


def expected_logits(model, text):
    ids = [2] + [WORDS.index(word) if word in WORDS else 1 for word in text.split()] + [3]
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids])).logits[0].double().numpy()


def test_none_is_no_model():
    assert load_text_model("none") is None


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_any_checkpoint_answers_with_its_labels_mapped(tmp_path, kind):
    names = ["joy", "sad", "ANGER", "boredom"]
    network = save_checkpoint(tmp_path, names, kind)
    model = load_text_model(tmp_path)
    assert model.labels == ("anger", "happiness", "sadness")
    assert model.languages is None
    scores = model.classify("i am so happy")
    powers = np.exp(expected_logits(network, "i am so happy"))
    powers /= powers.sum()
    assert scores.unmapped == {"boredom": pytest.approx(powers[3], abs=1e-5)}
    assert scores.as_dict()["happiness"] == pytest.approx(powers[0] / powers[:3].sum(), abs=1e-5)
    assert scores.as_dict()["anger"] == pytest.approx(powers[2] / powers[:3].sum(), abs=1e-5)
    assert scores.as_dict()["disgust"] == 0.0


@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert"])
def test_a_batch_equals_one_by_one_whatever_the_lengths(tmp_path, kind):
    save_checkpoint(tmp_path, list(EMOTIONS), kind)
    model = load_text_model(str(tmp_path))
    assert model.languages is None
    together = model.classify_batch(TEXTS * 7)
    assert len(together) == 35
    for text, scores in zip(TEXTS * 7, together, strict=True):
        assert scores.probabilities == pytest.approx(model.classify(text).probabilities, abs=1e-5)
    assert model.classify_batch([]) == []


def test_several_outputs_of_one_emotion_add_up(tmp_path):
    network = save_checkpoint(tmp_path, ["calm", "neutral", "fear"])
    scores = load_text_model(tmp_path).classify("this is the door").as_dict()
    powers = np.exp(expected_logits(network, "this is the door"))
    assert scores["neutral"] == pytest.approx((powers[0] + powers[1]) / powers.sum(), abs=1e-5)


def test_a_multi_label_head_is_read_by_sigmoid(tmp_path):
    network = save_checkpoint(tmp_path, ["anger", "fear", "curiosity"], problem_type="multi_label_classification")
    scores = load_text_model(tmp_path).classify("you hate this")
    each = 1 / (1 + np.exp(-expected_logits(network, "you hate this")))
    assert scores.as_dict()["anger"] == pytest.approx(each[0] / (each[0] + each[1]), abs=1e-5)
    assert scores.unmapped["curiosity"] == pytest.approx(each[2], abs=1e-5)


def test_a_checkpoint_without_a_known_label_is_refused(tmp_path):
    save_checkpoint(tmp_path, ["LABEL_0", "LABEL_1"])
    with pytest.raises(ModelUnavailableError, match="are LABEL_0, LABEL_1; none is one of anger, "):
        load_text_model(tmp_path)


def test_a_checkpoint_with_one_known_label_is_refused(tmp_path):
    save_checkpoint(tmp_path, ["happy", "joy", "boredom"])
    with pytest.raises(ModelUnavailableError, match="only happiness is one of .* at least two are needed"):
        load_text_model(tmp_path)


def test_code_of_a_checkpoint_is_never_run(tmp_path):
    save_checkpoint(tmp_path / "model", list(EMOTIONS))
    marker = tmp_path / "ran"
    (tmp_path / "model" / "custom.py").write_text(f"open({str(marker)!r}, 'w').close()\nclass Custom: pass\n")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    config["auto_map"] = {name: "custom.Custom" for name in ("AutoConfig", "AutoModelForSequenceClassification")}
    config["model_type"] = "a-type-of-its-own"
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnavailableError, match="it needs code of its own"):
        load_text_model(tmp_path / "model")
    assert not marker.exists()


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    save_checkpoint(tmp_path, list(EMOTIONS))
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["classifier.bias"][0] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailableError, match=r"NaN\) in classifier\.bias"):
        load_text_model(tmp_path)


def test_a_pointer_in_place_of_weights_is_named(tmp_path):
    save_checkpoint(tmp_path, list(EMOTIONS))
    (tmp_path / "model.safetensors").write_text(POINTER)
    with pytest.raises(ModelUnavailableError, match="pointer that Git LFS left"):
        load_text_model(tmp_path)


def test_a_checkpoint_without_a_trained_head_is_refused(tmp_path):
    labels = {"id2label": {0: "anger", 1: "fear"}, "label2id": {"anger": 0, "fear": 1}}
    BertModel(BertConfig(**SMALL, intermediate_size=32, **labels)).save_pretrained(tmp_path)
    save_tokenizer(tmp_path)
    with pytest.raises(ModelUnavailableError, match=r"lacks trained weights for classifier\.bias, classifier\.weight"):
        load_text_model(tmp_path)


def test_pickled_weights_are_refused(tmp_path):
    save_checkpoint(tmp_path, list(EMOTIONS))
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailableError, match="safetensors"):
        load_text_model(tmp_path)


def test_damaged_checkpoints_are_refused(tmp_path):
    save_checkpoint(tmp_path, list(EMOTIONS))
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelUnavailableError, match="is truncated or damaged"):
        load_text_model(tmp_path)
    save_checkpoint(tmp_path, list(EMOTIONS))
    (tmp_path / "config.json").write_text('{"model_type": "no such type"}')
    with pytest.raises(ModelUnavailableError, match="cannot be loaded as a text classification checkpoint"):
        load_text_model(tmp_path)


def test_a_tokenizer_that_cannot_pad_is_refused(tmp_path):
    save_checkpoint(tmp_path, list(EMOTIONS))
    for file in tmp_path.glob("tokenizer*"):
        file.unlink()
    save_tokenizer(tmp_path, padding=False)
    with pytest.raises(ModelUnavailableError, match="has no padding token"):
        load_text_model(tmp_path)


def test_threads_may_share_a_model(tmp_path):
    save_checkpoint(tmp_path, list(EMOTIONS))
    model = load_text_model(tmp_path)
    expected = [scores.probabilities for scores in model.classify_batch(TEXTS)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: [s.probabilities for s in model.classify_batch(TEXTS)], range(80)))
    assert all(np.allclose(answer, expected, atol=1e-5) for answer in answers)


def test_evaluation_counts_what_it_leaves_out(tmp_path):
    save_checkpoint(tmp_path / "model", list(EMOTIONS))
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\nI am SO happy!!,joy\nyou hate this,anger\nthe door,boredom\nwow,joy anger\n,fear\n")
    figures = evaluate_text(load_text_model(tmp_path / "model"), rows)
    assert (figures["n"], figures["multi_label"], figures["without_text"]) == (2, 1, 1)
    assert figures["unknown_labels"] == {"boredom": 1}
    assert sum(map(sum, figures["confusion"]["matrix"])) == 2
    assert set(figures["transcript"]) == {"uar", "war", "macro_f1", "ece"}
    truth, answered = np.array(list(figures["shares"].values())).T
    assert truth.sum() == pytest.approx(1) and answered.sum() == pytest.approx(1)
    assert figures["shares"]["anger"][0] == figures["shares"]["happiness"][0] == 0.5
    assert 0 <= figures["weighted_f1"] <= 1
    json.dumps(figures, allow_nan=False)
