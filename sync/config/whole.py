"""What only shows when the whole configuration is taken together, or beside this machine: the further checks of ``check-config``.

Commands run without them, since a laptop that explains messages need not have the server's folders.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from adapters.address import Address, address
from adapters.registry import FOLDERS, LISTENERS
from sync.config import database
from sync.config.document import Document
from sync.config.plain import exposed
from sync.config.problems import Path, UsageError, dotted
from sync.config.settings import ConfiguredSource, Settings

EVERYWHERE = frozenset({"0.0.0.0", "::", "*"})  # compared, not bound
UNKNOWN_TARGET = "not an address that Apprise knows; write one like jsons://host/path or mailtos://user:password@host"
LOOPBACK = "127.0.0.1"
UNENDED = "the last line has no line break at its end, so the file may be half written; save it again"
SILENT = "no freshness, so nobody is told when it falls silent; write 'freshness: 26h', or 'freshness: never' if it may"


def check(document: Document, settings: Settings) -> None:
    """Reports every error of this kind."""
    if not document.ended:
        document.warn((), UNENDED)
    database.check_folder(document, settings.database)
    database.check_rights(document, settings.database)
    _ports(document, settings)
    wrong = {one.where for one in document.mistakes}
    for one in exposed(settings):
        if dotted(one.where) not in wrong:  # an invalid address is corrected first
            (document.warn if one.accepted else document.mistake)(one.where, one.why)
    _certificate(document, settings)
    _alerts(document, settings)
    for export in settings.exports.values():
        if not FilePath(export.folder).is_dir():
            document.mistake(("exports", export.name, "folder"), "this folder does not exist; create it, readable by the service only")
    for feed in settings.feeds.values():
        path: Path = ("sources", feed.name)
        _folder(document, path, feed)
        _read_at_all(document, path, feed)
        _freshness(document, path)
        _key(document, path, feed)
    if settings.sealing is None and settings.database.startswith(database.POSTGRESQL):
        document.warn(("payload_keys",), "missing, so rejections keep no payload on PostgreSQL and cannot be replayed; add it")


def check_to_reload(document: Document, settings: Settings) -> None:
    """The same for a file that is read while others may be writing it."""
    if document.ended:
        check(document, settings)
    else:
        document.mistake((), UNENDED)


def _certificate(document: Document, settings: Settings) -> None:
    from sync.config.api_tls import context

    try:
        context(settings)
    except UsageError as error:
        document.mistake(("api", "tls"), str(error).removeprefix("api.tls."))


def _alerts(document: Document, settings: Settings) -> None:
    if settings.alerts.to:
        from sync.notifying import is_known
    for index, url in enumerate(settings.alerts.to):
        if not is_known(url):
            document.mistake(("alerts", "to", index), UNKNOWN_TARGET)


def _ports(document: Document, settings: Settings) -> None:
    seen: list[tuple[Path, Address]] = []
    for path, here in _listening(settings):
        taken = next((other for other, there in seen if _meet(here, there)), None)
        if taken is not None:
            document.mistake(path, f"port {here.port} is already used by {dotted(taken)}; choose another port for one of them")
        seen.append((path, here))


def _listening(settings: Settings) -> Iterator[tuple[Path, Address]]:
    yield ("api", "listen"), settings.listen
    for feed in settings.feeds.values():
        if feed.settings.adapter in LISTENERS and feed.settings.options.get("listen"):
            yield ("sources", feed.name, "listen"), address(feed.settings.options["listen"])


def _meet(one: Address, other: Address) -> bool:
    """Whether both cannot listen at once. Port 0 takes any free one."""
    if one.port != other.port or one.port == 0:
        return False
    hosts = {_host(one), _host(other)}
    return len(hosts) == 1 or bool(hosts & EVERYWHERE)


def _host(one: Address) -> str:
    return LOOPBACK if one.host.lower() == "localhost" else one.host.lower()


def _folder(document: Document, path: Path, feed: ConfiguredSource) -> None:
    if feed.settings.adapter in FOLDERS and not FilePath(str(feed.settings.options.get("path"))).is_dir():
        document.mistake((*path, "path"), "this folder does not exist; create it, or correct the path")


def _read_at_all(document: Document, path: Path, feed: ConfiguredSource) -> None:
    if feed.settings.adapter in LISTENERS or feed.schedule or feed.full_resync or _written(document, path).get("schedule") == "never":
        return
    message = "no schedule, so it is never read; write 'schedule: {every: 15m}', or 'schedule: never' if only resync and ingest read it"
    document.mistake(path, message)


def _freshness(document: Document, path: Path) -> None:
    """A feed that broke looks like one that has nothing to tell, unless somebody wrote how long it may be silent."""
    written = _written(document, path)
    if not written.get("freshness") and written.get("schedule") != "never":
        document.warn(path, SILENT)


def _key(document: Document, path: Path, feed: ConfiguredSource) -> None:
    auth: Any = feed.settings.options.get("auth")
    if not feed.settings.adapter.startswith("fhir.") or not isinstance(auth, dict) or auth.get("kind") != "smart_backend":
        return
    from adapters.fhir.signing_key import key_problem  # its library is slow to import

    if message := key_problem(str(auth.get("private_key") or ""), str(auth.get("alg") or "RS384")):
        document.mistake((*path, "auth", "private_key"), message)


def _written(document: Document, path: Path) -> dict[str, Any]:
    found = document.data
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}
