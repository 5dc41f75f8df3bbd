"""The ``push`` part of a source: how its EMR proves that a notification of a FHIR Subscription is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from adapters.schema import OneOrSeveral, SettingsGroup

if TYPE_CHECKING:
    from adapters.fhir.notification import PushCredentials

SHORTEST = 16


class PushPart(SettingsGroup):
    """Either ``secret``, which signs the body, or ``token``, which is sent in ``header``."""

    secret: OneOrSeveral = ()
    token: OneOrSeveral = ()
    header: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")] = "Authorization"

    @model_validator(mode="after")
    def _is_secret(self) -> PushPart:
        given = (*self.secret, *self.token)
        if bool(self.secret) == bool(self.token):
            raise ValueError("give either 'secret', which signs the body, or 'token', which the subscription sends as a header")
        if any(len(one) < SHORTEST or not one.isascii() for one in given):
            raise ValueError(f"secret and token must have at least {SHORTEST} ASCII characters; create one with 'openssl rand -hex 32'")
        return self

    def credentials(self) -> PushCredentials:
        """As notifications are verified with them."""
        from adapters.fhir.notification import PushCredentials  # most sources have no push

        return PushCredentials(tuple(self.secret), tuple(self.token), self.header.lower())
