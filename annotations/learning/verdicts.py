"""What a comparison said of a version, whether a run made it or it came from elsewhere. Reads the store."""

from collections.abc import Mapping

from annotations.records import ModelVersion
from annotations.store import AnnotationStore


def comparison_of(version: ModelVersion) -> Mapping[str, str]:
    """What the comparison said of a version from elsewhere: its `decision` and `reason`; empty for one of a run."""
    said = version.metrics.get("comparison")
    if isinstance(said, Mapping):
        return said
    if "origin" in version.lineage:
        return {
            "decision": "not compared",
            "reason": "It came from elsewhere and was not compared with the one in use.",
        }
    return {}


def refusal_of(store: AnnotationStore, version: ModelVersion) -> str | None:
    """Why the comparison did not promote a version; None where it did, or where the version came with the program."""
    with store.reading() as connection:
        row = connection.execute(
            "SELECT status, reason FROM training_runs WHERE new_version_id = ?", (version.id,)
        ).fetchone()
    if row is None:
        said = comparison_of(version)
        return None if said.get("decision") in (None, "promoted") else said["reason"]
    return None if row["status"] == "promoted" else str(row["reason"] or row["status"])
