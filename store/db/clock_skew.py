"""How far this machine's clock is from the database's clock, the one clock that all machines of a service share. Pure.

To a receiver whose clock is behind, what an EMR has just stated seems to come from the future. Its end would then be cut, possibly to
before an older permission. So intake is refused well below ``store.times.AHEAD``: within that limit such a time keeps its end.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from store.db.outage import CLOCK, Unavailable

NONE = timedelta(0)
NOTICED = timedelta(seconds=5)
"""Beyond this difference the service counts as degraded."""
REFUSED = timedelta(minutes=2)
"""Beyond this difference nothing is taken in."""


def skew(before: datetime, database_time: datetime, after: datetime) -> timedelta:
    """How much our clock is ahead at least, from the database's time read between ``before`` and ``after``. A slow read hides a skew."""
    if before > database_time:
        return before - database_time
    return after - database_time if after < database_time else NONE


def is_noticed(difference: timedelta) -> bool:
    """Whether somebody should set the clock."""
    return abs(difference) > NOTICED


def check(difference: timedelta) -> None:
    """Raises :class:`Unavailable` where the clocks are too far apart to say which evidence is newer."""
    if abs(difference) > REFUSED:
        raise Unavailable(CLOCK)
