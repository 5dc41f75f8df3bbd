"""How far this machine's clock is from the database's, which is the one clock that all machines of a service share. Pure.

A receiver whose clock is behind takes what an EMR has just stated for something from the future, and a doubtful time may end before an
older permission. So intake is refused well below ``store.times.AHEAD``, within which such a time keeps its end.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from store.db.outage import CLOCK, Unavailable

NONE = timedelta(0)
NOTICED = timedelta(seconds=5)
"""From here on the service counts as degraded."""
REFUSED = timedelta(minutes=2)
"""From here on nothing is taken in."""


def skew(before: datetime, theirs: datetime, after: datetime) -> timedelta:
    """How much our clock is ahead, at least, when theirs was read between two looks at ours. However long it took, it errs towards none."""
    if before > theirs:
        return before - theirs
    return after - theirs if after < theirs else NONE


def is_noticed(found: timedelta) -> bool:
    """Whether somebody should set the clock."""
    return abs(found) > NOTICED


def check(found: timedelta) -> None:
    """Raises :class:`Unavailable` where the clocks are too far apart to say which evidence is newer."""
    if abs(found) > REFUSED:
        raise Unavailable(CLOCK)
