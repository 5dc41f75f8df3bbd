"""The ``enterprises`` part: each is read alone, so that an error in one does not hide those of the next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from types import MappingProxyType
from typing import Any

from store.domain.enterprise import Enterprise, Source
from store.domain.policies import IN_FILE_ONLY, Policy
from store.preference import issuer, issuers
from sync.config.check import checked
from sync.config.document import Document
from sync.config.model import ENTERPRISE, EnterprisePart
from sync.config.places import placed

SYNC = "sync_contact_preferences"
TOGGLE = "do_not_contact_toggle"
REVOKE_ALL_FROM = "revoke_all_from"
"""The name before November 2026."""


def read_enterprises(document: Document, data: Any) -> dict[str, EnterprisePart]:
    """Every valid enterprise."""
    if not isinstance(data, dict) or not data:
        document.mistake(("enterprises",), "no enterprise; add one, as 'name:' with its settings indented below")
        return {}
    for name, part in data.items():
        if isinstance(part, dict) and REVOKE_ALL_FROM in part:
            document.mistake(("enterprises", name, REVOKE_ALL_FROM), _scope_instead(part.pop(REVOKE_ALL_FROM)))
    parts = {
        name: checked(document, ("enterprises", name), ENTERPRISE, part or {})
        for name, part in placed(document, "enterprises", data).items()
    }
    found = {name: part for name, part in parts.items() if part is not None}
    for name, part in found.items():
        _check(document, name, part)
    return found


def _scope_instead(written: object) -> str:
    try:
        until = f" and 'revocation_scope_until: {date.fromisoformat(str(written))}'"
    except ValueError:
        until = ""
    return f"was replaced by revocation_scope; for the same effect write 'revocation_scope: line'{until}"


def _check(document: Document, name: str, part: EnterprisePart) -> None:
    if part.sync_contact_preferences and part.do_not_contact_toggle:
        document.mistake(
            ("enterprises", name, TOGGLE),
            f"cannot be true while {SYNC} is true, because the EMR then masters Do Not Contact; set one of them to false",
        )
    first, end = policy(part).revocation_scope_from, policy(part).revocation_scope_until
    if first is not None and end is not None and end <= first:
        document.mistake(("enterprises", name, "revocation_scope_until"), "must be later than revocation_scope_from; correct one of them")
    owner: dict[str, str] = {}
    for canonical, aliases in part.authorities.items():
        for index, alias in enumerate(aliases):
            if owner.setdefault(alias.casefold(), canonical) != canonical:
                where = ("enterprises", name, "authorities", canonical, index)
                document.mistake(where, f"{alias!r} is already an alias of {owner[alias.casefold()]}; list it under one authority only")


def aliases(part: EnterprisePart) -> Mapping[str, str]:
    """Every other name of an issuer of identifiers -> its canonical name."""
    return MappingProxyType({alias: canonical for canonical, others in part.authorities.items() for alias in others})


def linking(part: EnterprisePart) -> frozenset[str]:
    """The canonical names of the issuers whose identifiers link."""
    names = issuers(aliases(part))
    return frozenset(issuer(names, name) for name in part.linking_authorities)


def policy(part: EnterprisePart) -> Policy:
    """What the file chooses: in the ``policy`` group, and beside it."""
    return Policy(**part.policy.model_dump(), **{one.name: getattr(part, one.name) for one in IN_FILE_ONLY})


def enterprise(name: str, part: EnterprisePart, sources: Iterable[Source]) -> Enterprise:
    """The enterprise as the store needs to know it."""
    return Enterprise(
        name=name,
        display_name=part.display_name or name,
        syncs=part.sync_contact_preferences,
        do_not_contact_toggle=part.do_not_contact_toggle,
        sources=tuple(sources),
        authorities=aliases(part),
        linking=linking(part),
        policy=policy(part),
        time_zone=part.time_zone,
        default_region=part.default_region,
        opt_in_words=frozenset(word.upper() for word in part.opt_in_words),
        opt_out_words=frozenset(word.upper() for word in part.opt_out_words),
    )
