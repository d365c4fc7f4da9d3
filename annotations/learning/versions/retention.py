"""Removal of old weights of versions; every record stays.

Called when a run has ended and, now and then, while the page is served.
"""

import shutil

from annotations.errors import StoreError, VersionNotFoundError
from annotations.learning.versions.registry import HEAVY, active_versions, way_back
from annotations.store import AnnotationStore
from annotations.store.queries import list_versions
from annotations.store.records import ModelVersion
from annotations.store.rows import timestamp
from annotations.store.settings import read_settings


def look_after_versions(store: AnnotationStore) -> list[str]:
    """Remove weights that are not to be kept.

    Returns:
        What was done, in sentences.
    """
    keep = read_settings(store).keep_versions
    removed = [] if keep is None else [version.name for version in remove_old_weights(store, keep)]
    return [f"The weights of {', '.join(removed)} were removed; the newest {keep} are kept."] if removed else []


def remove_old_weights(store: AnnotationStore, keep: int) -> list[ModelVersion]:
    """Remove the weights of all but the newest versions of each target; the records and the cards stay.

    Also kept are the current versions, those they were trained on, the one a roll-back would go to, and those
    that a run under way starts from.

    Args:
        store: to write to.
        keep: how many of each target, at least one.

    Returns:
        The versions whose weights went.

    Raises:
        StoreError: if `keep` is below one.
    """
    if keep < 1:
        raise StoreError(f"{keep} versions are to be kept; at least 1 is needed.")
    needed = _needed(store)
    removed, kept = [], dict[str, int]()
    for version in list_versions(store):
        if version.path is None:
            continue
        if version.weights_removed_at is None:
            kept[version.target] = kept.get(version.target, 0) + 1
            if kept[version.target] <= keep or version.id in needed:
                continue
            removed.append(version)
            # First the record: a version without weights must not look like one that has them.
            with store.database.writing() as connection:
                connection.execute(
                    "UPDATE model_versions SET weights_removed_at = ? WHERE id = ?", (timestamp(), version.id)
                )
        _remove_heavy(store, version)
    return removed


def _remove_heavy(store: AnnotationStore, version: ModelVersion) -> None:
    folder = store.data_dir / str(version.path)
    for pattern in HEAVY:
        for path in folder.rglob(pattern):
            path.unlink(missing_ok=True)
    for left in [path for path in folder.glob("*") if path.is_dir() and not any(path.rglob("*.*"))]:
        shutil.rmtree(left, ignore_errors=True)


def _needed(store: AnnotationStore) -> set[int]:
    needed = set()
    for target, version in active_versions(store).items():
        needed |= {version.id, version.parent_id or version.id}
        try:
            needed.add(way_back(store, target)[1].id)
        except VersionNotFoundError:
            continue
    return needed | {run.base_version_id for run in store.unfinished_runs()}
