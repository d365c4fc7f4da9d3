"""Figures by group: counts, intervals, and differences within corpora alone."""

from pathlib import Path

import numpy as np
import pytest

from ser.cli import main
from ser.errors import SettingsError
from ser.evaluation.groups import describe_groups, figures_by
from ser.evaluation.report import Evaluation
from ser.types import Example

LABELS = ("anger", "sadness")


def answers(right: dict[str, float], corpora: dict[str, tuple[str, ...]], speakers: int = 6) -> Evaluation:
    """Answers that are right as often as a gender of a corpus ("corpus gender") has it, the same for each label."""
    examples, rows = [], []
    for corpus, genders in corpora.items():
        for gender in genders:
            for speaker in range(speakers):
                for number in range(20):
                    label = LABELS[number % 2]
                    name, age = f"{corpus}-{gender}-{speaker}", 25.0 if speaker % 2 else 60.0
                    examples.append(Example(Path("x.wav"), label, name, corpus, gender=gender, age=age, language="en"))
                    good = number // 2 < 10 * right[f"{corpus} {gender}"]
                    rows.append([0.9, 0.1] if (label == "anger") == good else [0.1, 0.9])
    return Evaluation("test", LABELS, tuple(examples), np.array(rows))


def test_groups_are_compared_within_corpora() -> None:
    # The second corpus is hard and has one gender: pooled, men would be far behind.
    right = {"a female": 0.9, "a male": 0.8, "b male": 0.3}
    evaluation = answers(right, {"a": ("female", "male"), "b": ("male",)})
    found = figures_by(evaluation, "gender")
    assert found["groups"]["female"] == {
        "n": 120,
        "speakers": 6,
        "corpora": ["a"],
        "recall": pytest.approx(0.9),
        "ci": [pytest.approx(0.9)] * 2,
    }
    assert found["groups"]["male"]["recall"] == pytest.approx(0.55)
    gap = found["gaps"]["female - male"]
    assert gap["points"] == pytest.approx(10.0) and gap["corpora"] == ["a"]
    ages = figures_by(evaluation, "age")["gaps"]["50 and older - under 30"]
    assert ages["points"] == pytest.approx(0.0) and ages["corpora"] == ["a", "b"]
    emotions = figures_by(evaluation, "emotion")["groups"]
    assert {name: group["recall"] for name, group in emotions.items()} == pytest.approx(
        {"anger": 2 / 3, "sadness": 2 / 3}
    )
    lines = "\n".join(describe_groups(found))
    assert "female: 120 examples, 6 speakers of a; recall 90.0%" in lines and "+10.0 points" in lines
    assert figures_by(evaluation, "language")["groups"]["en"]["n"] == 360


def test_what_the_corpus_does_not_say_is_counted(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "evaluate",
        "--data",
        str(shared_data / "emodb-full"),
        "--speakers",
        "emodb_03,emodb_08",
        "--by",
        "gender,age",
    ]
    assert main([*command, "--labels", "anger,neutral"]) == 0
    printed = capsys.readouterr().out
    assert "by gender" in printed and "1 speaker of emodb-full" in printed and "by age" in printed
    assert main([*command[:-1], "shoes"]) == 2
    with pytest.raises(SettingsError, match="expected some of gender, age, language, emotion"):
        figures_by(answers({"a male": 1.0}, {"a": ("male",)}, 1), "shoes")
