"""The connections of every client of ours: what is sent is what the client wrote, whatever the machine's files say.

``requests`` reads ~/.netrc (or the file that NETRC names) and puts its password in the place of a token. Proxies and certificate
bundles of the environment stay in force: hospital networks need them.
"""

from __future__ import annotations

import ssl
from typing import Any

import requests
import urllib3


class _Trusting(requests.adapters.HTTPAdapter):
    """Connections that also trust an authority of the site's own."""

    def __init__(self, ca: str) -> None:
        self.context = ssl.create_default_context(cadata=ca)
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, ssl_context=self.context, **options)


def opened(ca: str = "") -> requests.Session:
    """A session; ``ca`` are certificates (PEM) to trust beside the public ones."""
    made = requests.Session()
    made.auth = _as_written
    if ca:
        made.mount("https://", _Trusting(ca))
    return made


def _as_written(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Stands where an authentication would, since only its absence makes ``requests`` look into ~/.netrc."""
    return request


def unreached(error: requests.RequestException, who: str) -> str:
    """Why nobody answered, in a line that quotes nothing: an error's text holds the address, and with it maybe a patient."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(reason, urllib3.exceptions.NameResolutionError):
        return f"the name of {who} cannot be resolved: check its address, and this machine's DNS"
    if isinstance(error, requests.exceptions.ProxyError):
        return f"{who} could not be reached through the proxy: check HTTPS_PROXY and NO_PROXY"
    return f"{who} could not be reached ({type(error).__name__})"
