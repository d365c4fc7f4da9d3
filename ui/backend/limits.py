"""Limits on what one person, and one address of the network, may use up in a while. Knows no request."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from ser.errors import SerError

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0

ADDRESS: ContextVar[str] = ContextVar("address", default="")
"""Sender of the request that is being answered."""


class TooMuchError(SerError):
    """Somebody has used up what they may use in a while."""


@dataclass(frozen=True)
class Limit:
    """Amounts of one thing.

    Attributes:
        person: for one login or one key.
        address: for one address, behind which a whole class may sit.
        seconds: in which they may be used up; they come back little by little.
        words: the limit in words, with a place for the amount.
        scale: unit of the amount in these words.
    """

    person: float
    address: float
    seconds: float
    words: str
    scale: float = 1.0


LIMITS: Mapping[str, Limit] = {
    "recognitions": Limit(30, 90, MINUTE, "{:.0f} recognitions a minute"),
    "uploads": Limit(40, 120, MINUTE, "{:.0f} uploads a minute"),
    "bytes": Limit(500e6, 2e9, HOUR, "{:.0f} MB of uploads an hour", 1e6),
    # Keys are fast: 200 clips a minute is what practised people reach.
    "votes": Limit(400, 2000, MINUTE, "{:.0f} votes a minute"),
    "names": Limit(5, 40, DAY, "{:.0f} new names a day"),
}

MAX_TIMELINE_DURATION = 15 * MINUTE
"""Seconds of a recording that a request may have answered over time; longer ones are for the command line."""

TIMELINE_BUDGET = 5 * MINUTE
"""Seconds that its answer may take: three times what a quarter of an hour takes on one busy core."""

EXPLANATION_COST = 4.0
"""Recognitions that an explanation counts as: it takes several times as long."""

REMEMBERED = 20_000
"""Persons and addresses; the one that was seen longest ago goes first."""


class Limits:
    """Budgets left to each person and address; safe to call from several threads.

    Args:
        limits: {what: amounts}.
        clock: seconds.
    """

    def __init__(self, limits: Mapping[str, Limit] = LIMITS, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._left: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def spend(self, what: str, *, person: str = "", address: str = "", amount: float = 1.0) -> None:
        """Use up some of what a person and an address have left.

        Args:
            what: one of the limits.
            person: owner of a name; empty if nothing proves one.
            address: of the network; empty if there is none.
            amount: how much.

        Raises:
            TooMuchError: if one of the two has not so much left; nothing is used up then.
        """
        limit, now = self._limits[what], self._clock()
        with self._lock:
            left = {}
            for kind, who, most in (("you", person, limit.person), ("your network", address, limit.address)):
                if not who:
                    continue
                had, then = self._left.get((what, f"{kind} {who}"), (most, now))
                has = min(most, had + (now - then) * most / limit.seconds)
                if has < amount:
                    wait = (min(amount, most) - has) * limit.seconds / most
                    raise TooMuchError(
                        f"That is more than {limit.words.format(most / limit.scale)}, which is all that {kind} may use "
                        f"here. Try again in {_duration(wait)}."
                    )
                left[what, f"{kind} {who}"] = (has - amount, now)
            for key, state in left.items():
                self._left[key] = state
                self._left.move_to_end(key)
            while len(self._left) > REMEMBERED:
                self._left.popitem(last=False)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / MINUTE:.0f} min" if seconds < 90 * MINUTE else f"{seconds / HOUR:.0f} h"
