import numpy as np
import pytest

from benchmarks.words.fusion import Pair, compare, main
from ser.fusion.rule import FusionRule
from ser.labels import EMOTIONS
from ser.types import EmotionScores, Segment, Transcript

SAID = Transcript("so it is", "en", (Segment(0.0, 1.0, "so it is", 1.0),), "test")
RULE = FusionRule(max_weight=0.9)


def pairs(with_words=True, n=140):
    """Sounds that are right in two of three clips, and words that are always right."""
    rng = np.random.default_rng(0)
    made = []
    for index in range(n):
        truth = EMOTIONS[index % 7]
        voiced = truth if index % 3 else EMOTIONS[(index + 1) % 7]
        shares = rng.uniform(0.02, 0.1, 7)
        sound = EmotionScores.from_dict(_peaked(shares, voiced, 0.5))
        words = EmotionScores.from_dict(_peaked(shares, truth, 0.9))
        made.append(Pair(truth, f"speaker{index % 4}", sound, words if with_words else None, SAID))
    return made


def _peaked(shares, label, top):
    values = np.array([s if e != label else 0.0 for e, s in zip(EMOTIONS, shares, strict=True)])
    values *= (1 - top) / values.sum()
    values[EMOTIONS.index(label)] = top
    return dict(zip(EMOTIONS, values.tolist(), strict=True))


def test_words_that_are_right_help_and_the_interval_says_so():
    result = compare(pairs(), RULE, seed=0)
    assert result["sound"]["war"] == pytest.approx(2 / 3, abs=0.01)
    # Neutral words are never used, so that neutral clips stay as the voice has them.
    assert result["words_alone"]["uar"] == 1.0 and 0.94 < result["fused"]["uar"] < 1.0
    assert result["words_used"] == 120 and result["words_read"] == 140
    assert result["uar_difference"] == pytest.approx(result["fused"]["uar"] - result["sound"]["uar"])
    low, high = result["uar_difference_ci"]["clips"]
    assert 0.0 < low < result["uar_difference"] < high
    assert (result["changed_to_right"], result["changed_to_wrong"]) == (41, 0)


def test_words_that_abstain_change_nothing():
    result = compare(pairs(with_words=False), RULE, seed=0)
    assert result["fused"] == result["sound"]
    assert result["uar_difference_ci"] == {"clips": [0.0, 0.0], "speakers": [0.0, 0.0]}
    assert result["words_read"] == result["words_used"] == 0 and result["words_alone"] == {"n": 0}


def test_a_folder_without_those_speakers_is_said(tmp_path, capsys):
    (tmp_path / "metadata.csv").write_text("file_name,label,speaker\na.wav,anger,x\n")
    (tmp_path / "a.wav").write_bytes(b"")
    assert main(["--data", str(tmp_path), "--speakers", "y"]) == 2
    assert "has no clip of y. Name others with --speakers." in capsys.readouterr().err
