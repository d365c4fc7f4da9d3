"""Publishes an export as a data set on the Hub, private unless asked otherwise.

The only place here that talks to the Hub. Makes the export in a scratch folder; knows no form of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

from annotations.errors import ExchangeError
from annotations.exchange.exports.card import CARD
from annotations.exchange.exports.exporting import export_store
from annotations.exchange.exports.reading import ExportReport
from annotations.exchange.registry import HUB, remember_export
from annotations.scratch import scratch
from annotations.store import AnnotationStore
from ser.checkpoints.hub import hub_reachable

SHARD = "data/train-00000-of-00001.parquet"
"""Folder where the Hub's viewer and `datasets` expect it."""


@contextmanager
def plain_hub_errors(refused: str) -> Iterator[None]:
    """Turn errors of the Hub into `ExchangeError`.

    Args:
        refused: what the Hub refuses, and what to do about it; `{reason}` is the Hub's own.
    """
    try:
        yield
    except (HfHubHTTPError, HFValidationError, LocalTokenNotFoundError) as error:
        raise ExchangeError(refused.format(reason=str(error).splitlines()[0])) from error
    except (OfflineModeIsEnabled, httpx2.HTTPError, OSError) as error:
        raise ExchangeError(f"The Hub cannot be reached ({error}). Try again with a connection.") from error


def reach_hub(api: HfApi | None) -> HfApi:
    """The Hub with the machine's own address and token, unless another is given; `ExchangeError` if out of reach."""
    if api is None and not hub_reachable():
        raise ExchangeError("The Hub cannot be reached from here. Try again with a connection; nothing was changed.")
    return api or HfApi()


def make_repository(api: HfApi, name: str, kind: str, private: bool) -> tuple[str, bool]:
    """Make a repository unless it is there; returns its address, and whether only its owners see it.

    Raises:
        ExchangeError: if it is there, everybody sees it, and it was to be private.
    """
    url = api.create_repo(name, repo_type=kind, private=private, exist_ok=True)
    hidden = bool(api.repo_info(name, repo_type=kind).private)
    if private and not hidden:
        raise ExchangeError(
            f"{name} is there already and everybody can see it; nothing was uploaded. Name another one, "
            "make it private on the Hub, or say --public."
        )
    return str(url), hidden


def publish(
    store: AnnotationStore,
    name: str,
    *,
    purpose: str = "publication",
    licence: str | None = None,
    private: bool = True,
    api: HfApi | None = None,
) -> ExportReport:
    """Put clips and votes into a data set on the Hub, in place of what was in its Parquet file before.

    Args:
        store: to read.
        name: ORG/NAME of the data set; made if it is missing.
        purpose: clips without consent to it are left out.
        licence: as the Hub names licences.
        private: whether a data set that is made now is seen by its owners alone.
        api: with another address or token than the machine's own.

    Raises:
        ExchangeError: if the Hub is out of reach or refuses; nothing is changed there then.
    """
    api = reach_hub(api)
    with scratch("export") as whole:
        folder = whole / "data"
        made = folder / Path(SHARD).name
        report = export_store(store, "parquet", made, purpose, licence=licence, remembered=False)
        (folder / f"{made.stem}_{CARD}").rename(whole / CARD)
        with plain_hub_errors(
            f"The Hub refuses to take {name} ({{reason}}). Log in with `hf auth login`, and name a data set that you "
            "may write to."
        ):
            report.published, _ = make_repository(api, name, "dataset", private)
            # Remembered before it is there: an erasure must not miss it.
            remember_export(store, name, HUB, purpose, report.clip_ids)
            api.upload_folder(
                repo_id=name,
                repo_type="dataset",
                folder_path=whole,
                delete_patterns="data/*.parquet",
                commit_message=f"Export of {report.clips} clip{'' if report.clips == 1 else 's'} with {report.votes} "
                f"vote{'' if report.votes == 1 else 's'}",
            )
    return report
