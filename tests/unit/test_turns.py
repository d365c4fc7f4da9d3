"""Fair turns: order, places, a full queue, a time budget, and callers who leave."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ser.errors import SerError
from ui.backend.turns import LONG, BusyError, Turns, Waiting


class Work:
    """Answers that are held until they are let go, in the order in which they began."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.gates: dict[str, threading.Event] = {}
        self.changed = threading.Condition()

    def steps(self, name: str) -> Callable[[], Iterator[str]]:
        self.gates[name] = threading.Event()

        def run() -> Iterator[str]:
            with self.changed:
                self.began.append(name)
                self.changed.notify_all()
            self.gates[name].wait(30)
            yield name

        return run

    def wait_for(self, names: set[str]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: names <= set(self.began), 30), (names, self.began)


def ask(turns: Turns, work: Work, connection: str, name: str, seconds: float, found: list[object]) -> threading.Thread:
    """Ask in a thread of its own; returns once the request is in the queue."""
    steps = turns.run(connection, seconds, work.steps(name))
    before = len(turns._waiting) + len(turns._running)
    thread = threading.Thread(target=lambda: found.extend(steps))
    thread.start()
    while len(turns._waiting) + len(turns._running) == before:
        time.sleep(0.005)
    return thread


def test_a_short_recording_waits_for_no_long_one() -> None:
    turns, work, found = Turns(places=2), Work(), []  # type: ignore[var-annotated]
    threads = [ask(turns, work, f"c{n}", f"long {n}", 60.0, found) for n in range(8)]
    work.wait_for({"long 0"})
    threads.append(ask(turns, work, "other", "short", 3.0, found))
    work.wait_for({"short"})
    assert work.began == ["long 0", "short"]
    for gate in work.gates.values():
        gate.set()
    for thread in threads:
        thread.join(30)
    answers = [one for one in found if not isinstance(one, Waiting)]
    assert sorted(answers) == sorted(work.gates)
    assert work.began[2:] == [f"long {n}" for n in range(1, 8)]


def test_connections_take_turns_however_much_one_asks_for() -> None:
    turns, work, found = Turns(places=1), Work(), []  # type: ignore[var-annotated]
    threads = [ask(turns, work, "greedy", f"greedy {n}", 5.0, found) for n in range(5)]
    threads += [ask(turns, work, "modest", f"modest {n}", 5.0, found) for n in range(2)]
    for name in ("greedy 0", "greedy 1", "modest 0", "greedy 2", "modest 1", "greedy 3", "greedy 4"):
        work.gates[name].set()
    for thread in threads:
        thread.join(30)
    assert work.began.index("modest 0") <= 2 and work.began.index("modest 1") <= 4


def test_a_full_queue_says_so_and_the_place_is_shown() -> None:
    turns, work, found = Turns(places=1, most_waiting=2), Work(), []  # type: ignore[var-annotated]
    places: list[object] = []
    threads = [ask(turns, work, "a", "a", 5.0, found)]
    work.wait_for({"a"})
    threads += [ask(turns, work, "b", "b", 5.0, places), ask(turns, work, "c", "c", 5.0, places)]
    with pytest.raises(BusyError, match="2 recordings wait already. Try again in a minute."):
        list(turns.run("d", 5.0, work.steps("d")))
    while len(places) < 2:
        time.sleep(0.01)
    assert {Waiting(1), Waiting(2)} <= set(places)  # type: ignore[arg-type]
    for gate in work.gates.values():
        gate.set()
    for thread in threads:
        thread.join(30)


def test_an_answer_that_takes_too_long_is_given_up() -> None:
    turns, work = Turns(places=1, budget=0.1), Work()
    with pytest.raises(BusyError, match="took longer than 0 s and was given up. Try a shorter recording."):
        list(turns.run("a", 5.0, work.steps("slow")))
    work.gates["slow"].set()
    quick = work.steps("quick")
    work.gates["quick"].set()
    assert list(turns.run("b", 5.0, quick))[-1] == "quick", "the place is free again"


def test_who_leaves_leaves_the_queue() -> None:
    turns, work, found = Turns(places=1), Work(), []  # type: ignore[var-annotated]
    thread = ask(turns, work, "a", "a", 5.0, found)
    work.wait_for({"a"})
    leaving = turns.run("b", 5.0, work.steps("b"))
    assert next(leaving) == Waiting(1)
    leaving.close()  # type: ignore[attr-defined]
    work.gates["a"].set()
    thread.join(30)
    assert work.began == ["a"] and turns._waiting == []


def test_errors_come_where_the_answer_is_awaited() -> None:
    def steps() -> Iterator[str]:
        yield "voice"
        raise SerError("too quiet")

    answers = Turns().run("a", LONG, steps)
    assert next(answers) == "voice"
    with pytest.raises(SerError, match="too quiet"):
        next(answers)
