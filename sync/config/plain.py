"""What would cross a network in clear: the API, HL7 messages, tokens and records, and the database's own traffic. Pure.

Only what stays on this machine may, unless the configuration says ``plain: true`` there, because a proxy, a tunnel or a network that
nobody else is on stands in front of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from sync.config.problems import Path, UsageError, dotted
from sync.config.scalars import address
from sync.config.settings import ConfiguredSource, Settings

POSTGRESQL = "postgresql+psycopg://"
BUT = "or write 'plain: true' here where that is what you want"
API = f"answers beyond this machine in plain HTTP, keys and answers included: write api.tls, listen on 127.0.0.1 behind a proxy, {BUT}"
MLLP = f"sends patients' data beyond this machine in clear: write tls, {BUT}"
HTTP = f"is plain HTTP beyond this machine, so that credentials and patients' data are sent in clear: write https, {BUT}"
NO_MODE = (
    "does not say how the connection is protected, so it may be in clear: add ?sslmode=verify-full&sslrootcert=FILE, or sslmode=disable"
)
IN_CLEAR = "sends passwords and patients' data to the server in clear (sslmode=disable): only where nobody else is on that network"
UNPROVEN = "encrypts, but does not check whom it talks to: sslmode=verify-full with sslrootcert does"
URLS = (("base_url",), ("auth", "token_url"))


class Exposed(NamedTuple):
    """A setting by which something crosses a network in clear. ``accepted``: somebody wrote that it may."""

    where: Path
    why: str
    accepted: bool = False


def exposed(settings: Settings) -> Iterator[Exposed]:
    """Everything of that kind, in the order of the file."""
    yield from _database(settings.database)
    if settings.tls is None and not settings.plain and not is_local(settings.listen.host):
        yield Exposed(("api", "listen"), API)
    for feed in settings.feeds.values():
        if not feed.plain:
            yield from _feed(feed)


def check(settings: Settings) -> tuple[Exposed, ...]:
    """What somebody wrote that it may. Raises ``UsageError``, which names everything else: nothing is served in clear by oversight."""
    found = tuple(exposed(settings))
    if refused := [one for one in found if not one.accepted]:
        raise UsageError("; ".join(f"{settings.file}: {dotted(one.where)} {one.why}" for one in refused))
    return found


def is_local(host: str) -> bool:
    """Whether only this machine can be behind a name or an address; a path is a socket."""
    if host.startswith("/") or host.lower() in ("", "localhost"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _feed(feed: ConfiguredSource) -> Iterator[Exposed]:
    path, options = ("sources", feed.name), feed.settings.options
    if not options.get("tls"):
        for name in ("listen", "connect"):
            if options.get(name) and not is_local(address(options[name]).host):
                yield Exposed((*path, name), MLLP)
    for names in URLS:
        parts = urlsplit(str(_at(options, names) or ""))
        if parts.scheme == "http" and not is_local(parts.hostname or ""):
            yield Exposed((*path, *names), HTTP)


def _database(url: str) -> Iterator[Exposed]:
    """How libpq protects the connection (PostgreSQL manual, 34.19.1). Without a mode it takes what it gets."""
    if not url.startswith(POSTGRESQL):
        return
    parts = urlsplit(url)
    options = parse_qs(parts.query)
    hosts = options.get("host") or [parts.hostname or ""]
    if all(is_local(host.partition(":")[0] if host.count(":") == 1 else host) for host in hosts):
        return
    mode = options.get("sslmode", [""])[-1]
    if mode == "disable":
        yield Exposed(("database",), IN_CLEAR, accepted=True)
    elif mode in ("require", "verify-ca"):
        yield Exposed(("database",), UNPROVEN, accepted=True)
    elif mode != "verify-full":
        yield Exposed(("database",), NO_MODE)


def _at(options: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    found: Any = options
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
