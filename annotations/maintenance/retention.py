"""Erases clips that were kept as long as the settings allow.

Knows when; how to erase is known by `annotations.maintenance.erasure.erase`.
"""

from datetime import UTC, datetime, timedelta

from annotations.maintenance.erasure.erase import ErasureReport, erase_clips, finish_erasures
from annotations.store import AnnotationStore
from annotations.store.settings import read_settings
from annotations.store.training_records import PROGRAM


def sweep(store: AnnotationStore, *, dry_run: bool = False) -> ErasureReport | None:
    """Erase every clip that is older than `retention_days`, and finish erasures that were interrupted.

    A clip's age counts from when it was stored. Safe to call at any time and by several processes.

    Args:
        store: others may use it meanwhile.
        dry_run: only count.

    Returns:
        What was erased; None if no period is set or no clip has passed it.
    """
    if not dry_run:
        finish_erasures(store)
    days = read_settings(store).retention_days
    if days is None:
        return None
    before = datetime.now(UTC) - timedelta(days=days)
    moment = before.isoformat(timespec="microseconds")
    ids = [row["id"] for row in store.fetch("SELECT id FROM clips WHERE created_at < ? ORDER BY id", (moment,))]
    if not ids:
        return None
    return erase_clips(
        store, "retention", f"clips older than {days:g} day{'' if days == 1 else 's'}", ids, by=PROGRAM, dry_run=dry_run
    )
