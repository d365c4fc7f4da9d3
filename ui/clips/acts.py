"""Changes to one clip or many: what would be lost is counted first, one confirmation follows, then it is done."""

import secrets
import shutil
import threading
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from annotations.exchange.exports.exporting import FORMATS, export_store
from annotations.labels.label_set import LabelSet
from annotations.maintenance import batch
from annotations.maintenance.batch import BatchReport
from annotations.maintenance.erasure.erase import ErasureReport, erase_picture, withdraw_consent
from annotations.raters.disclosure import own_consents, own_picture
from annotations.raters.people import Person
from annotations.scratch import scratch_folder
from annotations.store import AnnotationStore
from annotations.store.records import CONSENT_PURPOSES
from ser.errors import SerError
from ser.wording import counted
from ui.backend.jobs import Job
from ui.backend.services import Services
from ui.clips.drawer import ACTS
from ui.parts.presentation import escape

ASKED = 900.0
"""Seconds that a question may stand before it has to be asked again."""

MOST_ASKED = 100

NEEDED = {act: needed for act, _, needed in ACTS}
"""{act: what it asks for}; who withdraws needs to have consented instead."""

FORMAT_NAMES = {
    "audiofolder": "audiofolder: recordings and tables, can be imported again",
    "parquet": "Parquet: one file with the recordings, for datasets",
    "csv": "CSV: tables without recordings",
    "jsonl": "JSON lines with recordings",
    "audformat": "audformat",
    "labelstudio": "Label Studio",
}

GOLD_BY_VOTES = "by votes"
NO_GOLD = "no gold"


@dataclass(frozen=True)
class Asked:
    """A change that somebody was asked to confirm: to these clips and no others."""

    act: str
    by: str
    clips: tuple[int, ...]
    at: float = field(default_factory=time.time)


class Changes:
    """The questions that stand, and what is done once they are answered."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._asked: dict[str, Asked] = {}
        self._lock = threading.Lock()

    def ask(self, act: str, person: Person, clips: Sequence[int]) -> dict[str, object]:
        """Count what an act would change, and lose, and note that it was asked for.

        Raises:
            SerError: if there is no such act or nothing is chosen.
            NotAllowedError: if the person may not.
        """
        self._check(act, person)
        if not clips:
            raise SerError("No clip is selected. Tick some in the table first.")
        lines = self._losses(act, person, clips)
        token = secrets.token_hex(16)
        with self._lock:
            late = [one for one, asked in self._asked.items() if asked.at < time.time() - ASKED]
            for one in [*late, *list(self._asked)[: max(0, len(self._asked) - MOST_ASKED)]]:
                self._asked.pop(one, None)
            self._asked[token] = Asked(act, person.name, tuple(clips))
        title, confirm = _titles(act, len(clips))
        body = f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""
        return {
            "token": token,
            "title": title,
            "body": body + _fields(act, self.services.labels),
            "confirm": confirm,
            "danger": act in ("erase", "withdraw", "picture"),
        }

    def do(self, token: str, values: Mapping[str, object], person: Person) -> str:
        """Begin what was confirmed; returns the number of the job."""
        with self._lock:
            asked = self._asked.get(token)
        if asked is None or asked.by != person.name:
            raise SerError("This question is too old. Choose the act once more.")
        self._check(asked.act, person)
        # Values that will not do leave the question as it stands.
        work = self._work(asked, values, person)
        with self._lock:
            if self._asked.pop(token, None) is None:
                raise SerError("This was confirmed already.")
        return self.services.jobs.start(person.name, work)

    def _check(self, act: str, person: Person) -> None:
        if act == "withdraw":
            person.require_proof("withdraw a consent")
        elif act == "picture":
            if not person.may("erase"):
                person.require_proof("withdraw a consent")
        elif act == "retract":
            person.require_proof("take a vote back")
        elif act not in NEEDED:
            raise SerError(f"There is no act '{act}' here; expected one of {', '.join(NEEDED)}. Load the page again.")
        else:
            person.require(NEEDED[act])

    def _losses(self, act: str, person: Person, clips: Sequence[int]) -> list[str]:
        """Describe what the act loses or overwrites, in sentences."""
        store = self.services.store
        if act == "erase":
            report = batch.erase_many(store, clips, by=person.name, dry_run=True)
            return [*report.lines, "This cannot be undone."]
        if act == "retract":
            return ["It stays on record as taken back, and counts no more."]
        if act == "withdraw":
            if len(clips) != 1:
                raise SerError("Consent is withdrawn from one clip at a time. Open it first.")
            own = _own(store, person, clips[0])
            return withdraw_consent(store, clips[0], own, person.name, dry_run=True).lines()
        if act == "picture":
            erasure = erase_picture(store, _pictured(store, person, clips), by=person.name, dry_run=True)
            return [*erasure.lines(), "This cannot be undone."]
        if act == "speaker":
            known = batch.count_loss(store, clips, "speaker")
            named = ", ".join(f"{name} ({count})" for name, count in known.most_common(5))
            more = f" and {len(known) - 5} more" if len(known) > 5 else ""
            return [f"Overwrites the speaker of {counted(known.total(), 'clip')}: {named}{more}."] if known else []
        if act == "consent":
            known = batch.count_loss(store, clips, "consent")
            stand = ", ".join(f"{purpose} for {known[purpose]}" for purpose in CONSENT_PURPOSES if known[purpose])
            return [
                f"Allowed now: {stand or 'nothing'}.",
                "What you do not tick is withdrawn: exports for it lose the clips, and models that were trained on "
                "them are marked.",
            ]
        if act == "gold":
            known = batch.count_loss(store, clips, "gold")
            named = ", ".join(f"{label} ({count})" for label, count in known.most_common())
            return [f"Already gold, and overwritten if you choose another label: {named}."] if known else []
        if act == "queue":
            return ["Their votes stay; they come first in everybody's queue until somebody votes again."]
        return []

    def _work(self, asked: Asked, values: Mapping[str, object], person: Person) -> Callable[[Job], None]:
        """Return the work of the job; values are checked before it begins."""
        store, clips, by = self.services.store, asked.clips, person.name
        if asked.act == "retract":
            return lambda job: _tell_retracted(job, [store.retract_votes(clip_id, by) for clip_id in clips])
        if asked.act == "export":
            return self._export(clips, str(values.get("format")), str(values.get("purpose")))
        if asked.act == "withdraw":
            return self._erasing(
                lambda job: _tell_erasure(job, withdraw_consent(store, clips[0], _own(store, person, clips[0]), by))
            )
        if asked.act == "picture":
            pictured = _pictured(store, person, clips)
            return self._erasing(lambda job: _tell_erasure(job, erase_picture(store, pictured, by=by)))
        speaker = str(values.get("speaker") or "")
        ticked = values.get("consent")
        consent = [str(purpose) for purpose in ticked] if isinstance(ticked, list) else []
        if asked.act == "consent" and not consent:
            raise SerError("Tick at least one purpose. A clip that may be used for nothing has to be erased.")
        gold = {GOLD_BY_VOTES: None, NO_GOLD: ""}.get(str(values.get("gold")), str(values.get("gold") or ""))
        acts: Mapping[str, Callable[[], BatchReport]] = {
            "speaker": lambda: batch.set_speaker(store, clips, speaker),
            "consent": lambda: batch.set_consent(store, clips, consent, by=by),
            "gold": lambda: batch.set_gold(store, clips, gold, by=by),
            "queue": lambda: BatchReport(changed=batch.queue_again(store, clips, by=by)),
            "erase": lambda: batch.erase_many(store, clips, by=by),
        }

        def work(job: Job) -> None:
            _tell(job, acts[asked.act](), DONE[asked.act])

        return self._erasing(work) if asked.act in ("erase", "consent") else work

    def _erasing(self, work: Callable[[Job], None]) -> Callable[[Job], None]:
        """Wrap an act after which exports that wait to be downloaded may hold too much."""

        def do(job: Job) -> None:
            work(job)
            self.services.jobs.discard_files()

        return do

    def _export(self, clips: Sequence[int], form: str, purpose: str) -> Callable[[Job], None]:
        if form not in FORMATS or purpose not in CONSENT_PURPOSES:
            raise SerError("Choose a format and a purpose for the export.")

        def work(job: Job) -> None:
            folder = scratch_folder("download")
            job.file = folder / f"clips-{form}.zip"
            written = folder / "clips"
            suffix = {"parquet": ".parquet", "csv": ".csv", "jsonl": ".jsonl", "labelstudio": ".json"}.get(form, "")
            written.mkdir()
            report = export_store(
                self.services.store,
                form,
                written / f"clips{suffix}",
                purpose,
                only=clips,
                remembered=False,
                on_clip=lambda done: job.step(done, len(clips)),
            )
            with zipfile.ZipFile(job.file, "w", zipfile.ZIP_STORED) as archive:
                for path in sorted(written.rglob("*")):
                    if path.is_file():
                        archive.write(path, path.relative_to(written))
            shutil.rmtree(written)
            job.message = f"{counted(report.clips, 'clip')} with {counted(report.votes, 'vote')} exported."
            if report.without_consent:
                job.lines.append(f"{counted(report.without_consent, 'clip')} left out: not allowed for {purpose}.")
            if report.missing:
                job.lines.append(f"{counted(len(report.missing), 'clip')} left out: the recording is missing.")

        return work


DONE = {
    "speaker": "got that speaker",
    "consent": "got that consent",
    "gold": "marked",
    "queue": "queued again",
    "erase": "erased",
}


def _titles(act: str, count: int) -> tuple[str, str]:
    """Heading of the question, and words of the button that confirms it."""
    clips = counted(count, "clip")
    return {
        "speaker": (f"Set the speaker of {clips}", f"Set speaker of {clips}"),
        "consent": (f"Set what {clips} may be used for", f"Set consent of {clips}"),
        "gold": (f"Known answer of {clips}", f"Mark {clips}"),
        "queue": (f"Queue {clips} again", f"Queue {clips} again"),
        "export": (f"Export {clips}", f"Export {clips}"),
        "erase": (f"Erase {clips} for good?", f"Erase {clips}"),
        "retract": ("Take your vote back?", "Take it back"),
        "withdraw": ("Withdraw your consent?", "Withdraw my consent"),
        "picture": ("Erase the picture for good?", "Erase the picture"),
    }[act]


def _fields(act: str, labels: LabelSet) -> str:
    if act == "speaker":
        return '<label>Speaker (empty: unknown) <input name="speaker" maxlength="80" autocomplete="off"></label>'
    if act == "consent":
        return (
            "<fieldset><legend>Allowed for</legend>"
            + "".join(
                f'<label class="tick"><input type="checkbox" name="consent" value="{purpose}"> {purpose}</label>'
                for purpose in CONSENT_PURPOSES
            )
            + "</fieldset>"
        )
    if act == "gold":
        named = [(GOLD_BY_VOTES, "what most votes say"), *((name, name) for name in labels.names)]
        return _select("gold", "Known answer", [*named, (NO_GOLD, "none: no longer gold")])
    if act == "export":
        purposes = [(purpose, purpose) for purpose in CONSENT_PURPOSES]
        return _select("format", "Format", [(form, FORMAT_NAMES.get(form, form)) for form in FORMATS]) + _select(
            "purpose", "Purpose (clips that are not allowed for it are left out)", purposes
        )
    return ""


def _select(name: str, text: str, choices: Sequence[tuple[str, str]]) -> str:
    options = "".join(f'<option value="{escape(value)}">{escape(words)}</option>' for value, words in choices)
    return f'<label>{text} <select name="{name}">{options}</select></label>'


def _own(store: AnnotationStore, person: Person, clip_id: int) -> tuple[str, ...]:
    name = person.require_proof("withdraw a consent").name
    own = own_consents(store, name, clip_id)
    if not own:
        raise SerError(f"{name} has allowed nothing for clip {clip_id}: only who consented can withdraw it here.")
    return own


def _pictured(store: AnnotationStore, person: Person, clips: Sequence[int]) -> int:
    """The one clip whose picture a person may erase."""
    if len(clips) != 1:
        raise SerError("A picture is erased from one clip at a time. Open it first.")
    if own_picture(store, person, clips[0]) is None:
        raise SerError(
            f"Clip {clips[0]} has no picture that you may erase. Who agreed to keep it can, and maintainers."
        )
    return clips[0]


def erase_own_picture(store: AnnotationStore, person: Person, clip_id: int) -> ErasureReport:
    """Erase the picture that is kept with a clip.

    Raises:
        SerError: if there is none, or it is not the person's to erase.
    """
    return erase_picture(store, _pictured(store, person, [clip_id]), by=person.name)


def withdraw_own(store: AnnotationStore, person: Person, clip_id: int) -> ErasureReport:
    """Take back every consent that a person has given for a clip.

    Raises:
        SerError: if they have given none, or nothing proves who they are.
    """
    return withdraw_consent(store, clip_id, _own(store, person, clip_id), person.name)


def _tell(job: Job, report: BatchReport, done: str) -> None:
    job.message = f"{counted(report.changed, 'clip')} {done}."
    if report.unchanged:
        job.lines.append(f"{counted(report.unchanged, 'clip')} stayed as they were.")
    if report.left_out:
        shown = "; ".join(f"clip {clip_id}: {reason}" for clip_id, reason in report.left_out[:5])
        more = f"; and {len(report.left_out) - 5} more" if len(report.left_out) > 5 else ""
        job.lines.append(f"{counted(len(report.left_out), 'clip')} left out ({shown}{more}).")
    job.lines += report.lines


def _tell_retracted(job: Job, counts: Sequence[int]) -> None:
    job.message = f"{counted(sum(counts), 'vote')} taken back."


def _tell_erasure(job: Job, report: ErasureReport) -> None:
    job.message, *job.lines = report.lines()
