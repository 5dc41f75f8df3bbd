"""The listeners of a process: one for each source that receives messages. They keep their connections over a reload where they can."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from adapters.base import AcceptsConnections, Listener
from sync import logs
from sync.config import ConfiguredSource, Settings
from sync.roles import Fail, ListenRole
from sync.runtime import Runtime, UsageError, adapter

Share = Callable[[Mapping[str, int]], Mapping[str, int]]
"""Source -> how many connections its listener wants; returns how many it, and the API, may have."""


class Listening:
    """A role of a serving process. ``share`` divides the connections among the listeners when they are built."""

    def __init__(self, runtime: Runtime, fail: Fail) -> None:
        self.runtime, self.fail = runtime, fail
        self.roles: dict[str, ListenRole] = {name: self._role(*one) for name, one in _listeners(runtime.settings).items()}

    def limit(self, share: Share) -> Mapping[str, int]:
        """Divides the connections among the listeners and the API. Returns how many each may have."""
        limited = {name: one.listener for name, one in self.roles.items() if isinstance(one.listener, AcceptsConnections)}
        shares = share({name: one.connections for name, one in limited.items()})
        for name, one in limited.items():
            one.limit_connections(shares[name])
        return shares

    def start(self) -> None:
        """Starts all listeners."""
        for role in self.roles.values():
            role.start()

    def stop(self) -> None:
        """Stops all at once; returns when everything received is committed and acknowledged."""
        _stop(self.roles.values())

    def check(self, settings: Settings) -> None:
        """Raises ``UsageError`` if a listener of changed settings could not listen. The addresses in use here are not tried."""
        ours = {role.feed.settings.options.get("listen") for role in self.roles.values()}
        for name, (feed, listener) in _listeners(settings).items():
            where = feed.settings.options.get("listen")
            if where is not None and where not in ours and (failed := [one for one in listener.check() if not one.ok]):
                raise UsageError(f"sources.{name}.listen: {failed[0].detail}")

    def reload(self, share: Share) -> None:
        """Uses the runtime's changed settings. Listeners that need another port or other limits are replaced; the rest keep connections."""
        wanted = _listeners(self.runtime.settings)
        left = [name for name, role in self.roles.items() if name not in wanted or not self._adopted(role, wanted[name][0])]
        _stop(self.roles[name] for name in left)
        for name in left:
            del self.roles[name]
            self.runtime.intake_health.forget(name)
        begun = [name for name in wanted if name not in self.roles]
        self.roles |= {name: self._role(*wanted[name]) for name in begun}
        self.limit(share)
        for name in begun:
            self.roles[name].start()
        if left or begun:
            logs.logger().info("listeners changed", stopped=sorted(left), started=sorted(begun))

    def _adopted(self, role: ListenRole, feed: ConfiguredSource) -> bool:
        return role.feed == feed or role.adopt(feed)

    def _role(self, feed: ConfiguredSource, listener: Listener) -> ListenRole:
        return ListenRole(self.runtime, feed, listener, self.fail)


def _listeners(settings: Settings) -> dict[str, tuple[ConfiguredSource, Listener]]:
    found = {feed.name: (feed, adapter(feed)) for feed in settings.feeds.values()}
    return {name: (feed, one) for name, (feed, one) in found.items() if isinstance(one, Listener)}


def _stop(roles: Iterable[ListenRole]) -> None:
    """Each may wait for its peers, so they are stopped at once and not one after the other."""
    chosen = list(roles)
    with ThreadPoolExecutor(max(1, len(chosen)), "stop") as stopping:
        list(stopping.map(ListenRole.stop, chosen))
