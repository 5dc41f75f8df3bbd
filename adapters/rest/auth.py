"""OAuth 2.0 for JSON APIs (RFC 6749): an access token for a client id and secret (section 4.4), or for a refresh token (section 6).

The client authenticates in the Authorization header (section 2.3.1), or in the form if the API requires that.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from adapters.base import AdapterError
from adapters.http import auth
from adapters.http.auth import AccessToken, Auth, Clock, Static, TokenFlow, TokenRequest, basic, required


class OAuth2(AccessToken):
    """The access token of one client."""

    def __init__(self, options: Mapping[str, Any], clock: Clock) -> None:
        super().__init__(clock)
        self._url = required(options, "token_url")
        self._client = required(options, "client_id"), required(options, "client_secret")
        self._in_form = str(options.get("client_in") or "header") == "form"
        self._scope = str(options.get("scope") or "")
        self._refresh = str(options.get("refresh_token") or "")

    def request_token(self) -> TokenFlow:
        reply = yield self._request()
        answer = (reply.json() if reply.is_good else None) or {}
        if not isinstance(answer.get("access_token"), str):
            settings = "check token_url, client_id, client_secret and scope in auth"
            raise AdapterError(f"the token endpoint granted no token (status {reply.status}): {settings}", permanent=True)
        self._refresh = str(answer.get("refresh_token") or self._refresh)
        return answer

    def _request(self) -> TokenRequest:
        form = {"grant_type": "refresh_token", "refresh_token": self._refresh} if self._refresh else {"grant_type": "client_credentials"}
        form |= {"scope": self._scope} if self._scope else {}
        if self._in_form:
            return TokenRequest(self._url, form | {"client_id": self._client[0], "client_secret": self._client[1]})
        return TokenRequest(self._url, form, basic(*self._client))


def build(options: Mapping[str, Any], clock: Clock) -> Auth:
    """The authentication for the settings in ``auth``. Raises ``ValueError`` that says what is missing."""
    return auth.build(options, {"oauth2": lambda: OAuth2(options, clock), "header": lambda: _in_header(options)})


def _in_header(options: Mapping[str, Any]) -> Auth:
    """A key in a header that the API names, like ``X-Api-Key``."""
    name, key = required(options, "header"), required(options, "token")
    if not key.isascii() or not key.isprintable():
        raise ValueError("auth.token contains characters that are not valid in a header: use visible ASCII")
    return Static({name: key})
