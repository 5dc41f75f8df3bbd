"""The HTTP sessions of our clients. They send exactly what the client sets, and ignore ~/.netrc.

``requests`` reads ~/.netrc (or the file that NETRC names) and replaces a token with the password in it. Proxies and certificate bundles of
the environment stay in effect: hospital networks need them.

A timeout applies to each read, so a server that sends its headers byte by byte could block a client endlessly. The headers must arrive
within twice the timeout. The body has a deadline of its own (``adapters.http.download``).
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


def _read_in_time(http_connection: connection.HTTPConnection, answer: Callable[[], HTTPResponse]) -> HTTPResponse:
    """The status and headers that ``answer`` reads from the connection. Raises ``TimeoutError`` if they take too long."""
    if not isinstance(http_connection.timeout, float | int):
        return answer()
    late, found = Event(), None

    def end() -> None:
        late.set()
        with suppress(OSError):
            http_connection.sock.shutdown(socket.SHUT_RD)

    timer = Timer(HEADERS_WITHIN * http_connection.timeout, end)
    timer.daemon = True
    timer.start()
    try:
        found = answer()
    except Exception:
        if not late.is_set():
            raise
    finally:
        timer.cancel()
    if found is None or late.is_set():  # a truncated response may look complete
        if found is not None:
            found.close()
        http_connection.close()
        raise TimeoutError("the headers did not arrive in time")
    return found


class _Plain(connection.HTTPConnection):
    """A connection without TLS."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3's own
        return _read_in_time(self, super().getresponse)


class _Secured(connection.HTTPSConnection):
    """A connection with TLS."""

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3's own
        return _read_in_time(self, super().getresponse)


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecuredPool(HTTPSConnectionPool):
    ConnectionCls = _Secured


POOLS = {"http": _PlainPool, "https": _SecuredPool}


class _Adapter(requests.adapters.HTTPAdapter):
    """Uses the connections above. Also trusts the site's own certificate authority, if there is one."""

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


def open_session(ca: str = "") -> requests.Session:
    """A session. ``ca``: certificates (PEM) to trust in addition to the public ones."""
    session = requests.Session()
    session.auth = _no_authentication
    session.mount("http://", _Adapter(""))
    session.mount("https://", _Adapter(ca))
    return session


def _no_authentication(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Does nothing. With any ``auth`` set, ``requests`` does not read ~/.netrc."""
    return request


def connection_error_text(error: requests.RequestException, peer: str) -> str:
    """Why the connection failed, in a line that quotes nothing: the error's text contains the URL, which may contain patient data."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return f"the name of {peer} cannot be resolved: check its address and this machine's DNS"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"{peer} could not be reached through the proxy: check HTTPS_PROXY and NO_PROXY"
    return f"{peer} could not be reached ({type(error).__name__})"
