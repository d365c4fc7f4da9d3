"""`versions`, `promote` and `rollback`: list, compare and choose model versions."""

import argparse
import importlib
from collections.abc import Callable, Mapping

from annotations.commands.common import add_by, add_json, load_active, open_existing, print_result
from annotations.learning.versions.card import write_card
from annotations.learning.versions.hub import pull_version, push_version
from annotations.learning.versions.registry import (
    VersionEntry,
    comparison_of,
    find_version,
    list_entries,
    promote_version,
    roll_back,
    votes_of,
)
from annotations.learning.versions.retention import remove_old_weights
from annotations.store import AnnotationStore
from annotations.store.records import TARGETS

ACOUSTIC = "acoustic"


def add_versions(parser: argparse.ArgumentParser) -> None:
    """The options of `versions` and of what can be done with them."""
    add_json(parser)
    parser.add_argument("--target", choices=TARGETS, help="only versions of that model")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    show = actions.add_parser("show", help="one version, with the ids of all votes that it was trained on")
    show.add_argument("version", metavar="VERSION", help="a name or an id")
    diff = actions.add_parser("diff", help="differences between two versions, on clips that neither was trained on")
    diff.add_argument("first", metavar="A")
    diff.add_argument("second", metavar="B")
    diff.add_argument(
        "--clips", type=int, default=200, metavar="N", help="greatest number of clips (default: %(default)s)"
    )
    push = actions.add_parser("push", help="publish a version as a model on the Hub, private unless asked otherwise")
    push.add_argument("version", metavar="VERSION")
    push.add_argument("repository", metavar="ORG/NAME")
    push.add_argument("--public", action="store_true", help="let everybody see it, if it is made now")
    push.add_argument("--licence", metavar="ID", help="as the Hub names licences")
    pull = actions.add_parser("pull", help="take a model of the Hub as a version that can be promoted")
    pull.add_argument("repository", metavar="ORG/NAME")
    pull.add_argument("--revision", metavar="REV", help="branch, tag or commit (default: the newest)")
    pull.add_argument("--name", help="of the version (default: after the repository)")
    prune = actions.add_parser("prune", help="remove the weights of old versions; their records stay")
    prune.add_argument("--keep", type=int, required=True, metavar="N", help="the newest of each target")
    for action in (show, diff, push, pull, prune):
        # A default here would take back what was said before the action.
        action.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="one JSON object")


def run_versions(options: argparse.Namespace) -> int:
    """List the model versions, or do something with them."""
    with open_existing(options.data_dir) as store:
        return _ACTIONS[options.action](store, options)


def add_promote(parser: argparse.ArgumentParser) -> None:
    """The options of `promote`."""
    parser.add_argument("version", metavar="VERSION", help="a name or an id")
    parser.add_argument("--reason", metavar="TEXT", help="for the record; needed if the comparison refused it")
    add_by(parser)
    add_json(parser)


def run_promote(options: argparse.Namespace) -> int:
    """Promote a version."""
    with open_existing(options.data_dir) as store:
        version = find_version(store, options.version)
        promotion = promote_version(store, version, by=options.by, reason=options.reason)
    line = f"{version.name} is in use{', against the comparison' if promotion.overrides else ''}."
    result = {
        "version": version.name,
        "target": version.target,
        "overrides": promotion.overrides,
        "reason": promotion.reason,
    }
    print_result(result, [line], options.json)
    return 0


def add_rollback(parser: argparse.ArgumentParser) -> None:
    """The options of `rollback`."""
    parser.add_argument("--target", choices=TARGETS, default=ACOUSTIC, help="which model (default: %(default)s)")
    parser.add_argument("--reason", metavar="TEXT", help="for the record")
    add_by(parser)
    add_json(parser)


def run_rollback(options: argparse.Namespace) -> int:
    """Go back to the current version before."""
    with open_existing(options.data_dir) as store:
        before = store.active_version(options.target)
        promotion = roll_back(store, by=options.by, target=options.target, reason=options.reason)
        version = store.get_model_version(promotion.model_version_id)
    result = {"version": version.name, "target": version.target, "from": before.name, "reason": promotion.reason}
    print_result(result, [f"{version.name} is in use again, in place of {before.name}."], options.json)
    return 0


def _list(store: AnnotationStore, options: argparse.Namespace) -> int:
    entries = list_entries(store, options.target)
    lines = [_line(entry) for entry in entries]
    if any(entry.erased is not None for entry in entries):
        lines.append(
            "`retrain --without-erased` trains one without it, starting from a version that was never trained on it."
        )
    print_result({"versions": [entry.as_dict() for entry in entries]}, lines or ["No model version yet."], options.json)
    return 0


def _line(entry: VersionEntry) -> str:
    version = entry.version
    words = [f"{version.id:>4} {version.name}{' (in use)' if entry.in_use else ''}"]
    if entry.erased is not None:
        lost = entry.erased
        words.append(
            f"trained on what was erased since: {lost['votes']} vote{'' if lost['votes'] == 1 else 's'} "
            f"on {lost['clips']} clip{'' if lost['clips'] == 1 else 's'}"
        )
    if version.target != ACOUSTIC:
        words.append(version.target)
    if entry.parent:
        words.append(f"from {entry.parent}, {entry.votes} vote{'' if entry.votes == 1 else 's'}")
    if entry.reason:
        words.append(entry.reason)
    if entry.override:
        words.append(f"promoted all the same: {entry.override}")
    if entry.retired:
        words.append("retired: a network of an earlier version of this program, which no longer runs")
    if version.weights_removed_at:
        words.append(f"weights removed on {version.weights_removed_at[:10]}")
    return ": ".join([words[0], "; ".join(words[1:])]) if words[1:] else words[0]


def _show(store: AnnotationStore, options: argparse.Namespace) -> int:
    version = find_version(store, options.version)
    entry = next(entry for entry in list_entries(store) if entry.version.id == version.id)
    votes = votes_of(store, version)
    lines = [_line(entry), f"     sha256 {version.sha256}", f"     votes {', '.join(map(str, votes)) or 'none'}"]
    lines += [f"     {name} {value}" for name, value in version.lineage.items()]
    print_result({**entry.as_dict(), "vote_ids": votes}, lines, options.json)
    return 0


def _diff(store: AnnotationStore, options: argparse.Namespace) -> int:
    # First of all, so that the model that the program comes with is a version, too.
    active = load_active(store)
    first, second = (find_version(store, name) for name in (options.first, options.second))
    # By name, because it brings torch in.
    differing = importlib.import_module("annotations.learning.versions.diff")
    difference = differing.diff_versions(active, first, second, limit=options.clips)
    print_result(difference.as_dict(), difference.lines(), options.json)
    return 0


def _push(store: AnnotationStore, options: argparse.Namespace) -> int:
    version = find_version(store, options.version)
    write_card(store, version, licence=options.licence)
    published = push_version(store, version, options.repository, private=not options.public)
    line = f"{version.name} is published as {published.url}, {'private' if published.private else 'public'}."
    print_result({"version": version.name, **published.as_dict()}, [line], options.json)
    return 0


def _pull(store: AnnotationStore, options: argparse.Namespace) -> int:
    active = load_active(store)
    version = pull_version(store, options.repository, load=active.load, name=options.name, revision=options.revision)
    said = comparison_of(version)
    line = f"{version.name} is a version now. {said['reason']} `promote {version.name} --reason TEXT` promotes it."
    result: Mapping[str, object] = {
        "version": version.name,
        "sha256": version.sha256,
        "lineage": dict(version.lineage),
        "decision": said["decision"],
        "reason": said["reason"],
        "metrics": dict(version.metrics),
    }
    print_result(result, [line], options.json)
    return 0


def _prune(store: AnnotationStore, options: argparse.Namespace) -> int:
    removed = [version.name for version in remove_old_weights(store, options.keep)]
    lines = [f"The weights of {', '.join(removed)} are removed; their records stay."] if removed else ["All are kept."]
    print_result({"removed": removed}, lines, options.json)
    return 0


_ACTIONS: Mapping[str | None, Callable[[AnnotationStore, argparse.Namespace], int]] = {
    None: _list,
    "show": _show,
    "diff": _diff,
    "push": _push,
    "pull": _pull,
    "prune": _prune,
}
