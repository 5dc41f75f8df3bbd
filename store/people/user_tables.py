"""The typed rows of users and of their sessions. No behaviour, like ``store.tables``."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index

from store.columns import Mapped, mapped_column
from store.tables import Table


class UserRow(Table):
    """A person who signs in. ``password`` is an argon2 hash.

    ``provisional``: since when the password is one that somebody else made, good for choosing another one only. An empty ``password`` is
    nobody's: the user signs in by OpenID Connect, and is ``subject`` there since the first time.
    """

    __tablename__ = "users"
    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    password: Mapped[str]
    created: Mapped[datetime]
    disabled: Mapped[datetime | None]
    provisional: Mapped[datetime | None]
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    __table_args__ = (Index("uq_users_name", "name", unique=True), Index("uq_users_issuer_subject", "issuer", "subject", unique=True))


class UserRoleRow(Table):
    """What a user may do in one enterprise."""

    __tablename__ = "user_roles"
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), primary_key=True)
    enterprise: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str]


class UserSessionRow(Table):
    """A browser that signed in. Its cookie is kept only as its SHA-256; ``csrf`` is what its forms carry."""

    __tablename__ = "user_sessions"
    digest: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id"), index=True)
    enterprise: Mapped[str]
    csrf: Mapped[str]
    created: Mapped[datetime]
    seen: Mapped[datetime]


class OpenIdSignInRow(Table):
    """A sign-in by OpenID Connect that was used, as a digest: none is good twice."""

    __tablename__ = "openid_sign_ins"
    digest: Mapped[str] = mapped_column(primary_key=True)
    at: Mapped[datetime]
