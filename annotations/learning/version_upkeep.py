"""What becomes of versions by itself: a card for each that is made, shadows that take over, old weights that go.

Called when a run has ended and, now and then, while the page is served.
"""

from annotations.learning.shadow_records import take_over_due
from annotations.learning.version_card import write_card
from annotations.learning.version_retention import remove_old_weights
from annotations.records import ModelVersion
from annotations.settings import read_settings
from annotations.store import AnnotationStore


def look_after_versions(store: AnnotationStore) -> list[str]:
    """Put to use what has answered on the side long enough, and remove weights that are not to be kept.

    Returns:
        What was done, in sentences.
    """
    done = []
    for promotion in take_over_due(store):
        done.append(f"{store.get_model_version(promotion.version_id).name} is in use: {promotion.reason}")
    keep = read_settings(store).keep_versions
    if keep is not None:
        removed = [version.name for version in remove_old_weights(store, keep)]
        if removed:
            done.append(f"The weights of {', '.join(removed)} were removed; the newest {keep} are kept.")
    return done


def finish_version(store: AnnotationStore, version_id: int | None) -> ModelVersion | None:
    """Write the card of a version that a run has just made; nothing where it made none."""
    if version_id is None:
        return None
    version = store.get_model_version(version_id)
    write_card(store, version)
    return version
