import numpy as np
import pytest

from ser.errors import TrainingDataError
from ser.evaluation.metrics import fit_temperature
from ser.labels import EMOTIONS
from ser.text.data import as_transcript, read_labelled_texts


def write(tmp_path, content):
    path = tmp_path / "rows.csv"
    path.write_text(content, encoding="utf-8")
    return path


def test_rows_with_one_and_with_several_labels(tmp_path):
    path = write(tmp_path, 'text,labels\n"Oh no, really?",surprise\nYay and ugh,happiness disgust happiness\n')
    rows = read_labelled_texts(path)
    assert rows.texts == ("Oh no, really?", "Yay and ugh")
    assert rows.labels == (("surprise",), ("happiness", "disgust"))
    assert rows.single.tolist() == [True, False]
    shares = rows.soft_labels
    assert shares.sum(1).tolist() == [1.0, 1.0]
    assert shares[1, EMOTIONS.index("disgust")] == shares[1, EMOTIONS.index("happiness")] == 0.5


def test_foreign_names_are_mapped_and_strangers_counted(tmp_path):
    path = write(tmp_path, "label,text\nJoy,hooray\nboredom,meh\nboredom anger,grr\n,nothing\nfear,  \n")
    rows = read_labelled_texts(path)
    assert rows.labels == (("happiness",), ("anger",))
    assert rows.unknown_labels == {"(none)": 1, "boredom": 2}
    assert rows.without_text == 1


def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("text,label\nhi,neutral\n".encode("utf-8-sig"))
    assert len(read_labelled_texts(path)) == 1


@pytest.mark.parametrize(
    "content, message",
    [
        ("sentence,label\nhi,anger\n", "has the columns sentence, label; needed are text, and label or labels."),
        ("", "has the columns none; needed are"),
        ("text,label\nhi,boredom\n", "has no row with words and a known label (1 read). Known labels: anger, "),
        ("text,label\nhi\n", "has no row with words"),
    ],
)
def test_malformed_files_are_named(tmp_path, content, message):
    path = write(tmp_path, content)
    with pytest.raises(TrainingDataError) as error:
        read_labelled_texts(path)
    assert str(path) in str(error.value) and message in str(error.value)


def test_absent_and_binary_files_are_refused(tmp_path):
    with pytest.raises(TrainingDataError, match="cannot be read as a CSV file"):
        read_labelled_texts(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(TrainingDataError, match="cannot be read as a CSV file"):
        read_labelled_texts(tmp_path / "binary.csv")


@pytest.mark.parametrize(
    "written, spoken",
    [
        ("Well... That's 'fine', isn't it?", "well that's fine isn't it"),
        ("Café №1, a naïve idea", "café no1 a naïve idea"),
        ("😂😂 !!!", ""),
        ("I’m 20-something", "i'm 20 something"),
        ("don't", "don't"),
    ],
)
def test_as_transcript(written, spoken):
    assert as_transcript(written) == spoken
    assert as_transcript(spoken) == spoken


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 2.5])
def test_temperature_undoes_over_and_under_confidence(true_temperature):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = np.array([rng.choice(4, p=row) for row in probabilities])
    targets = np.eye(4, dtype=np.float32)[truth]
    found = fit_temperature((logits * true_temperature).astype(np.float32), targets)
    assert found == pytest.approx(true_temperature, rel=0.06)
