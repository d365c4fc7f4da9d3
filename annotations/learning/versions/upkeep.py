"""Upkeep of versions: a card for each new one, removal of old weights.

Called when a run has ended and, now and then, while the page is served.
"""

from annotations.learning.versions.card import write_card
from annotations.learning.versions.retention import remove_old_weights
from annotations.store import AnnotationStore
from annotations.store.records import ModelVersion
from annotations.store.settings import read_settings


def look_after_versions(store: AnnotationStore) -> list[str]:
    """Remove weights that are not to be kept.

    Returns:
        What was done, in sentences.
    """
    keep = read_settings(store).keep_versions
    removed = [] if keep is None else [version.name for version in remove_old_weights(store, keep)]
    return [f"The weights of {', '.join(removed)} were removed; the newest {keep} are kept."] if removed else []


def finish_version(store: AnnotationStore, version_id: int | None) -> ModelVersion | None:
    """Write the card of a version that a run has just made; does nothing without one."""
    if version_id is None:
        return None
    version = store.get_model_version(version_id)
    write_card(store, version)
    return version
