"""A rehearsal messaging provider: sends replies to texts as webhooks, signed as Twilio does, and again after a failure. Loopback only.

It has its own signing (twilio.com/docs/usage/security), so that it tests the receiver with independent code.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlencode, urlsplit

FORM = "application/x-www-form-urlencoded"
NO_ANSWER = 0


@dataclass(slots=True)
class RehearsalProvider:
    """Sends to ``url``. ``public_url``: the address that it was told, which it signs; a proxy would lead from there to ``url``.

    A request without an answer, or with 5xx, is sent again after ``wait``, ``attempts`` times in all, with the same message id.
    """

    url: str
    secret: str
    public_url: str
    attempts: int = 5
    wait: Callable[[], object] = lambda: time.sleep(0.2)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def reply(self, sender: str, line: str, text: str, *, secret: str | None = None) -> list[int]:
        """Sends a patient's reply; the status of each attempt (0: no answer). ``secret``: signs with another, as a forger would."""
        form = {"MessageSid": f"SM{next(self._numbers):032x}", "From": sender, "To": line, "Body": text, "NumMedia": "0"}
        body, headers = urlencode(form).encode(), {"Content-Type": FORM, "X-Twilio-Signature": self._signature(form, secret or self.secret)}
        answers: list[int] = []
        while len(answers) < self.attempts:
            if answers:
                self.wait()
            answers.append(self._post(body, headers))
            if 0 < answers[-1] < 500:
                break
        return answers

    def _signature(self, form: dict[str, str], secret: str) -> str:
        text = self.public_url + "".join(name + form[name] for name in sorted(form))
        return base64.b64encode(hmac.new(secret.encode(), text.encode(), "sha1").digest()).decode()

    def _post(self, body: bytes, headers: dict[str, str]) -> int:
        to = urlsplit(self.url)
        connection = HTTPConnection(to.hostname or "", to.port or 80, timeout=15)
        try:
            connection.request("POST", to.path, body, headers)
            return connection.getresponse().status
        except (OSError, HTTPException):
            return NO_ANSWER
        finally:
            connection.close()
