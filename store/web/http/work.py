"""The work that the API requests from ``sync``. It is passed in as plain functions, so the API does not import ``sync``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from store.errors import ValueRefused
from store.runs.runs import Run

Ids = Sequence[str]
Outcomes = Sequence[Mapping[str, Any]]
Endpoints = Callable[[], Mapping[str, str]]


class UnmappedCode(NamedTuple):
    """A code missing in a mapping's tables, its path, and how many records have it. ``code`` is empty if people may not see it."""

    path: str
    code: str
    records: int


def _no_codes(source: str, by: str) -> Sequence[UnmappedCode]:
    raise ValueRefused("this process does not read rejections")


def _no_replay(*_: object) -> Any:
    raise ValueRefused("this process does not replay rejections")


def _no_fix(source: str, reason: str, attribute: str, codes: Sequence[str]) -> str:
    """The default of ``fix``: knows no mapping."""
    return ""


def _no_expiry(enterprise: str) -> None:
    """The default of ``expire``: does nothing."""


def no_endpoints() -> Mapping[str, str]:
    """The default of ``endpoints``: none is configured."""
    return {}


def permits_nobody(enterprise: str, patients: int, more: int) -> bool:
    """The default of ``permits``: no patient becomes contactable without another person."""
    return not more


@dataclass(frozen=True, slots=True)
class SyncWork:
    """The work of ``sync`` on request.

    ``resync(source, by)`` starts a run and returns it, or raises ``RunActive``. ``replay(rejection_id, by)`` maps and applies a rejection
    again and returns the result; ``replay_many(ids, by)`` returns the result of each, and ``preview(ids)`` what all of them would change
    together. ``expire(enterprise)`` rejects changes that were held for too long. ``codes(source, by)`` returns the codes that are missing
    in the mapping's tables, as far as people may see them. ``fix(source, reason, attribute, codes)`` returns the mapping rule, as YAML,
    that ends a cause of rejections; empty if no rule can. ``permits(enterprise, patients, more)`` says whether the safeguard lets settings
    take effect that make ``more`` of the enterprise's patients contactable. ``endpoints()``: webhook endpoint -> its enterprise.
    """

    resync: Callable[[str, str], Run]
    replay: Callable[[str, str], Mapping[str, Any]]
    expire: Callable[[str], object] = _no_expiry
    replay_many: Callable[[Ids, str], Outcomes] = _no_replay
    preview: Callable[[Ids], Mapping[str, Any]] = _no_replay
    codes: Callable[[str, str], Sequence[UnmappedCode]] = _no_codes
    fix: Callable[[str, str, str, Sequence[str]], str] = _no_fix
    permits: Callable[[str, int, int], bool] = permits_nobody
    endpoints: Endpoints = no_endpoints
