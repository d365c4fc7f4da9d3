import pytest

from annotations.raters.guidelines import DEFAULT, MAX_LENGTH, list_guidelines, read_guidelines, write_guidelines
from annotations.raters.people import NotAllowedError, Person
from annotations.store import AnnotationStore
from ser.errors import SerError
from ser.labels import EMOTIONS

MIA = Person("mia", "maintainer")


def test_there_is_a_text_from_the_start(store: AnnotationStore) -> None:
    assert read_guidelines(store).version == 0
    assert all(f"| {label} |" in DEFAULT for label in EMOTIONS)


def test_every_version_stays_on_record(store: AnnotationStore) -> None:
    write_guidelines(store, "one", MIA)
    again = write_guidelines(store, " one\n", MIA)
    second = write_guidelines(store, "two", MIA)
    assert (again.version, second.version, second.edited_by) == (1, 2, "mia")
    assert read_guidelines(store).text == "two"
    assert read_guidelines(store, 1).text == "one" and read_guidelines(store, 0).text == DEFAULT
    assert [version.version for version in list_guidelines(store)] == [2, 1, 0]
    with pytest.raises(SerError, match="no version 7"):
        read_guidelines(store, 7)


def test_only_a_maintainer_edits(store: AnnotationStore) -> None:
    with pytest.raises(NotAllowedError, match="edit the guidelines"):
        write_guidelines(store, "mine", Person("ann", "annotator"))
    assert read_guidelines(store).version == 0


def test_two_editors_do_not_overwrite_each_other(store: AnnotationStore) -> None:
    write_guidelines(store, "one", MIA, replaces=0)
    with pytest.raises(SerError, match="saved version 1 while you were editing version 0"):
        write_guidelines(store, "other", MIA, replaces=0)
    assert read_guidelines(store).text == "one"


@pytest.mark.parametrize("text", ["", "  \n", "x" * (MAX_LENGTH + 1)])
def test_a_text_has_a_sensible_length(store: AnnotationStore, text: str) -> None:
    with pytest.raises(SerError, match="characters"):
        write_guidelines(store, text, MIA)
