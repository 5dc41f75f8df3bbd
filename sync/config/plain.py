"""Which traffic would cross a network unencrypted: the API, HL7 messages, tokens, records, and the database's own. Pure.

Only traffic that stays on this machine may, unless the configuration says ``plain: true`` there: for a proxy, a tunnel or a private
network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from adapters.address import Address, address
from sync.config.problems import Path, UsageError, dotted
from sync.config.settings import ConfiguredSource, Settings

POSTGRESQL = "postgresql+psycopg://"
BUT = "or set 'plain: true' here to allow it"
API = f"keys and answers would leave this machine unencrypted (HTTP); set api.tls, listen on 127.0.0.1 behind a proxy, {BUT}"
METRICS = "metrics and keys would leave this machine unencrypted (HTTP); listen on 127.0.0.1, set api.tls, or set api.plain to allow it"
MLLP = f"patient data would leave this machine unencrypted; set tls, {BUT}"
HTTP = f"credentials and patient data would leave this machine unencrypted (HTTP); use https, {BUT}"
NO_MODE = "the connection may be unencrypted; add ?sslmode=verify-full&sslrootcert=FILE, or sslmode=disable to allow it"
IN_CLEAR = "passwords and patient data are sent to the server unencrypted (sslmode=disable); use it on a private network only"
UNPROVEN = "the server's identity is not verified; use sslmode=verify-full with sslrootcert"
URLS = (("base_url",), ("auth", "token_url"))


class Exposed(NamedTuple):
    """A setting that sends something unencrypted over a network. ``accepted``: the configuration allows it."""

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


def check(settings: Settings, metrics_at: Address | None = None) -> tuple[Exposed, ...]:
    """What the configuration allows. Raises ``UsageError`` for everything else: nothing is served unencrypted by oversight.

    ``metrics_at``: the address of ``serve --metrics``.
    """
    found = (*exposed(settings), *_metrics(settings, metrics_at))
    if refused := [one for one in found if not one.accepted]:
        raise UsageError(f"{settings.file}: " + ". ".join(f"{dotted(one.where)}: {one.why}" for one in refused))
    return found


def is_local(host: str) -> bool:
    """Whether only this machine can be behind a name or an address; a path is a socket."""
    if host.startswith("/") or host.lower() in ("", "localhost"):
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _metrics(settings: Settings, at: Address | None) -> Iterator[Exposed]:
    """The address that a process has for its metrics is protected as the API is."""
    if at is not None and settings.tls is None and not settings.plain and not is_local(at.host):
        yield Exposed(("--metrics",), METRICS)


def _feed(feed: ConfiguredSource) -> Iterator[Exposed]:
    path, options = ("sources", feed.name), feed.settings.options
    if not options.get("tls"):
        for name in ("listen", "connect"):
            if options.get(name) and not is_local(address(options[name]).host):
                yield Exposed((*path, name), MLLP)
    back = feed.write_back.options if feed.write_back else {}
    if back.get("connect") and not back.get("tls") and not is_local(address(back["connect"]).host):
        yield Exposed((*path, "write_back", "connect"), MLLP)
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
    named = options.get("host") or [parts.hostname or ""]
    hosts = [host for one in named for host in one.split(",")]  # several servers, of which libpq takes one
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
