"""Links that unsubscribe an e-mail address with one click (RFC 8058).

A link holds the address, encrypted, so that nothing is stored for each e-mail and no address is in a URL, a log or a browser's history.
A link works as long as its key is in ``payload_keys``.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import NamedTuple

from store.errors import PayloadUnreadable, SettingRefused
from store.runs.encryption import Sealing

ROW = "unsubscribe"
PATH = "/unsubscribe/"
LONGEST = 2_000


class UnsubscribeLink(NamedTuple):
    """What a link unsubscribes: an e-mail address of an enterprise, from one topic or from everything."""

    enterprise: str
    address: str
    topic: str | None


class UnsubscribeLinks:
    """Makes and reads links. ``public_url``: how the outside reaches this service."""

    def __init__(self, sealing: Sealing | None, public_url: str | None) -> None:
        self.sealing, self.public_url = sealing, public_url

    def url(self, link: UnsubscribeLink) -> str:
        """The address for the header List-Unsubscribe. Raises :class:`SettingRefused` where a setting is missing."""
        if self.sealing is None or self.public_url is None:
            raise SettingRefused("links need payload_keys and api.public_url in the configuration")
        key = self.sealing.current.encode()
        sealed = self.sealing.seal(json.dumps(link).encode(), ROW)
        return f"{self.public_url}{PATH}{base64.urlsafe_b64encode(bytes([len(key)]) + key + sealed).rstrip(b'=').decode()}"

    def read(self, token: str) -> UnsubscribeLink | None:
        """The link with this token; ``None`` if we did not make it, or its key is gone."""
        if self.sealing is None or len(token) > LONGEST:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
            key, sealed = raw[1 : 1 + raw[0]].decode(), raw[1 + raw[0] :]
            return UnsubscribeLink(*json.loads(self.sealing.open(sealed, ROW, key)))
        except (binascii.Error, ValueError, IndexError, TypeError, PayloadUnreadable):
            return None
