import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from ser.errors import SettingsError, TrainingDataError
from ser.evaluation.predictions import Adaptation
from ser.evaluation.report import evaluate, restrict, summarize
from ser.labels import EMOTIONS
from ser.testing import BandEnergyModel, EnergyDetector, synthetic_speech
from ser.types import SAMPLING_RATE, EmotionScores, Example

LABELS = ("anger", "fear", "sadness")


class PitchModel:
    """Answers by the number of zero crossings a second: enough for the synthetic voices below."""

    name = "zero crossings"
    labels = LABELS

    def __init__(self):
        self.durations = []

    def classify(self, audio):
        self.durations.append(audio.duration)
        crossings = np.count_nonzero(np.diff(np.signbit(audio.signal))) / audio.duration
        logits = -np.abs(np.log(crossings + 1) - np.log([60.0, 240.0, 960.0]))
        powers = np.exp(3 * logits)
        return EmotionScores.from_dict(dict(zip(LABELS, (powers / powers.sum()).tolist(), strict=True)))

    def classify_batch(self, audios):
        return [self.classify(audio) for audio in audios]


def tone(path, frequency, seconds=1.0, silence=0.0):
    time = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    quiet = np.zeros(int(silence * SAMPLING_RATE))
    soundfile.write(path, np.concatenate([quiet, 0.4 * np.sin(2 * np.pi * frequency * time), quiet]), SAMPLING_RATE)
    return path


@pytest.fixture
def examples(tmp_path):
    rows = []
    for label, frequency in zip(LABELS, (30, 120, 480), strict=True):
        for take in range(4):
            path = tone(tmp_path / f"{label}{take}.wav", frequency * (1 + 0.02 * take))
            rows.append(Example(path, label, f"speaker{take % 2}", f"corpus{take // 2}"))
    return rows


def run(model, examples, **options):
    return evaluate(model, examples, detector=EnergyDetector(), **options)


def test_the_json_has_the_agreed_form(examples):
    figures = run(PitchModel(), examples).as_dict()
    agreed = ["n", "uar", "uar_ci", "war", "macro_f1", "per_class", "confusion", "ece"]
    assert list(figures)[: len(agreed)] == agreed
    assert figures["n"] == 12 and figures["uar"] == figures["war"] == figures["macro_f1"] == 1.0
    assert figures["uar_ci"] == [1.0, 1.0]
    assert figures["per_class"]["fear"] == {"precision": 1.0, "recall": 1.0, "f1": 1.0, "support": 4}
    assert figures["per_class"]["disgust"] == {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    assert figures["confusion"]["labels"] == list(EMOTIONS)
    assert figures["confusion"]["matrix"][EMOTIONS.index("anger")][EMOTIONS.index("anger")] == 4
    assert 0.0 <= figures["ece"] <= 1.0
    assert figures["model"] == "zero crossings"
    assert set(figures["per_corpus"]) == {"corpus0", "corpus1"} and set(figures["per_speaker"]) == {
        "speaker0",
        "speaker1",
    }
    first = figures["per_corpus"]["corpus0"]
    assert {key: first[key] for key in ("n", "uar", "war", "macro_f1")} == {
        "n": 6,
        "uar": 1.0,
        "war": 1.0,
        "macro_f1": 1.0,
    }
    assert first["uar_ci"] == [1.0, 1.0] and set(first["recalls"].values()) == {1.0}
    assert first["ece"] >= 0.0 and first["ece_by_chance"] >= 0.0
    assert figures["mean_uar"] == 1.0
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_wrong_answers_are_counted_where_they_belong(examples):
    wrong = [Example(e.path, "sadness", e.speaker) if e.label == "fear" else e for e in examples]
    figures = run(PitchModel(), wrong, labels=LABELS).as_dict()
    assert figures["confusion"] == {"labels": list(LABELS), "matrix": [[4, 0, 0], [0, 0, 0], [0, 4, 4]]}
    assert figures["uar"] == 0.75 and figures["war"] == pytest.approx(8 / 12)


def test_batches_and_order_do_not_matter(examples):
    one, many = run(PitchModel(), examples, batch_size=1), run(PitchModel(), examples, batch_size=5)
    assert (one.probabilities == many.probabilities).all()
    assert run(PitchModel(), examples[::-1]).as_dict()["confusion"] == one.as_dict()["confusion"]


def test_labels_restrict_truth_and_answer(examples):
    evaluation = run(PitchModel(), examples, labels=["fear", "anger"])
    assert evaluation.labels == ("anger", "fear")
    assert evaluation.left_out == 4 and len(evaluation.examples) == 8
    assert evaluation.probabilities.sum(1) == pytest.approx(1.0)
    assert evaluation.as_dict()["confusion"]["labels"] == ["anger", "fear"]


def test_a_model_that_gives_nothing_to_the_labels_is_undecided(tmp_path):
    rows = [Example(tone(tmp_path / f"{n}.wav", 100), label, "s") for n, label in enumerate(("surprise", "disgust"))]
    evaluation = run(PitchModel(), rows, labels=["surprise", "disgust"])
    assert evaluation.undecided == 2
    assert evaluation.probabilities.tolist() == [[0.5, 0.5], [0.5, 0.5]]
    json.dumps(evaluation.as_dict(), allow_nan=False)


def test_unreadable_recordings_are_named_not_dropped(examples, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF is not enough")
    rows = [Example(broken, "fear", "s"), *examples, Example(tmp_path / "absent.wav", "fear", "s")]
    evaluation = run(PitchModel(), rows, batch_size=1)
    assert set(evaluation.unreadable) == {str(broken), str(tmp_path / "absent.wav")}
    assert all(evaluation.unreadable.values())
    assert evaluation.as_dict()["n"] == 12 and evaluation.as_dict()["uar"] == 1.0
    with pytest.raises(TrainingDataError, match=r"None of 1 recording could be read\. The first one: "):
        run(PitchModel(), rows[:1])


def test_recordings_are_cut_to_their_speech_and_those_without_any_counted(tmp_path):
    padded = Example(tone(tmp_path / "padded.wav", 120, seconds=1.0, silence=2.0), "fear", "s")
    soundfile.write(tmp_path / "quiet.wav", 0.002 * np.sin(np.arange(32_000)), SAMPLING_RATE)
    quiet = Example(tmp_path / "quiet.wav", "fear", "s")
    model = PitchModel()
    evaluation = run(model, [padded, quiet])
    assert model.durations[0] == pytest.approx(1.4, abs=0.05)
    assert model.durations[1] == pytest.approx(2.0)
    assert evaluation.no_speech == 1


def test_soft_labels_count_by_their_largest_share(examples):
    soft = [Example(e.path, {e.hard_label: 0.6, "neutral": 0.4}, e.speaker) for e in examples]
    assert run(PitchModel(), soft).as_dict()["uar"] == 1.0


def test_progress_counts_every_recording(examples):
    seen = []
    run(PitchModel(), examples, batch_size=5, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(5, 12), (10, 12), (12, 12)]


def test_nothing_to_evaluate_is_said():
    rows = [Example("x.wav", "neutral", "s")]
    with pytest.raises(TrainingDataError) as error:
        run(PitchModel(), rows, labels=["anger", "fear"])
    assert str(error.value) == (
        "There is nothing to evaluate: 1 example, with the labels neutral; needed are some of anger, fear."
    )


def test_the_default_detector_is_that_of_recognition(tmp_path):
    speech = synthetic_speech(2.0)
    soundfile.write(tmp_path / "speech.wav", speech.signal, SAMPLING_RATE)
    evaluation = evaluate(BandEnergyModel(), [Example(tmp_path / "speech.wav", "fear", "s")])
    assert evaluation.probabilities.shape == (1, 7)


class OneCorpusModel(BandEnergyModel):
    """As a head that was trained on one corpus: it knows nothing of how places differ."""

    adapts_to_any_mix = False


def test_adaptation_that_the_model_cannot_do_is_said(examples):
    with pytest.raises(SettingsError, match=r"unknown mix of labels.*--labels"):
        evaluate(OneCorpusModel(), examples, detector=EnergyDetector(), adaptation=Adaptation(2))
    even = evaluate(OneCorpusModel(), examples, labels=LABELS, detector=EnergyDetector(), adaptation=Adaptation(2))
    assert even.adaptation.clips == 2


def test_restricting_to_all_labels_changes_nothing():
    scores = EmotionScores((0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1))
    rows, empty = restrict([scores], EMOTIONS)
    assert rows[0] == pytest.approx(scores.probabilities) and empty == 0


def test_figures_of_an_answer_sheet_worked_by_hand():
    rows = [[0.8, 0.2], [0.6, 0.4], [0.3, 0.7], [0.9, 0.1]]
    figures = summarize(["a", "b", "b", "a"], rows, ["a", "b"])
    assert figures["confusion"]["matrix"] == [[2, 0], [1, 1]]
    assert figures["uar"] == 0.75
    # Each answer lies in a bin of its own: gaps of 0.2, 0.6, 0.3 and 0.1.
    assert figures["ece"] == pytest.approx((0.2 + 0.6 + 0.3 + 0.1) / 4)


def test_intensity_is_measured_where_corpus_and_model_tell_it(examples):
    rated = [replace(example, intensity=float(place % 2)) for place, example in enumerate(examples)]
    strengths = iter(0.9 if example.intensity else 0.2 for example in rated)

    class Rating(PitchModel):
        def classify(self, audio):
            return replace(super().classify(audio), intensity=next(strengths))

    figures = run(Rating(), rated)
    assert figures.intensity_auc == figures.as_dict()["intensity_auc"] == 1.0
    assert run(PitchModel(), rated).intensity_auc is None
    assert run(PitchModel(), examples).intensity_auc is None
