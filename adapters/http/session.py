"""The connections of every client of ours: what is sent is what the client wrote, whatever the machine's files say.

``requests`` reads ~/.netrc (or the file that NETRC names) and puts its password in the place of a token. Proxies and certificate
bundles of the environment stay in force: hospital networks need them.

A timeout holds for each read, so a server that drips the beginning of its answer would be listened to for ever: that has to be there in
twice the timeout. The rest of an answer has a deadline of its own (``adapters.http.download``).
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Timer
from typing import Any

import requests
import urllib3
from urllib3 import HTTPConnectionPool, HTTPResponse, HTTPSConnectionPool, connection

HEADERS_WITHIN = 2.0  # times the timeout of a read


def _in_time(mine: connection.HTTPConnection, answer: Callable[[], HTTPResponse]) -> HTTPResponse:
    """What ``answer`` reads from the connection, its status and headers. One that takes too long counts as silent."""
    if not isinstance(mine.timeout, float | int):
        return answer()
    late, found = Event(), None

    def end() -> None:
        late.set()
        with suppress(OSError):
            mine.sock.shutdown(socket.SHUT_RD)

    timer = Timer(HEADERS_WITHIN * mine.timeout, end)
    timer.daemon = True
    timer.start()
    try:
        found = answer()
    except Exception:
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if found is None or late.is_set():  # what was cut off may read like the whole
        if found is not None:
            found.close()
        mine.close()
        raise TimeoutError("the headers did not arrive in time")
    return found


class _Plain(connection.HTTPConnection):
    """Without TLS."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3's own
        return _in_time(self, super().getresponse)


class _Secured(connection.HTTPSConnection):
    """With TLS."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3's own
        return _in_time(self, super().getresponse)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecuredPool(HTTPSConnectionPool):
    ConnectionCls = _Secured


POOLS = {"http": _PlainPool, "https": _SecuredPool}


class _Adapter(requests.adapters.HTTPAdapter):
    """Connections of ours; they also trust an authority of the site's own, where there is one."""

    def __init__(self, ca: str) -> None:
        self.context: dict[str, Any] = {"ssl_context": ssl.create_default_context(cadata=ca)} if ca else {}
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        options.update(self.context)
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = POOLS
        return manager


def opened(ca: str = "") -> requests.Session:
    """A session; ``ca`` are certificates (PEM) to trust beside the public ones."""
    made = requests.Session()
    made.auth = _as_written
    made.mount("http://", _Adapter(""))
    made.mount("https://", _Adapter(ca))
    return made


def _as_written(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stands where an authentication would, since only its absence makes ``requests`` look into ~/.netrc."""
    return request


def unreached(error: requests.RequestException, who: str) -> str:
    """Why nobody answered, in a line that quotes nothing: an error's text holds the address, and with it maybe a patient."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return f"the name of {who} cannot be resolved: check its address and this machine's DNS"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"{who} could not be reached through the proxy: check HTTPS_PROXY and NO_PROXY"
    return f"{who} could not be reached ({type(error).__name__})"
