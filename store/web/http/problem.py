"""Errors as RFC 9457 problem details. Every response that is not a success is one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from store import errors
from store.db import outage

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "5"  # seconds
PREFIX = "urn:emr-sync:problem:"
STATUS: dict[type[errors.StoreError], tuple[int, str]] = {
    errors.PatientUnknown: (404, "patient_unknown"),
    errors.NotFound: (404, "not_found"),
    errors.ReplyUnknown: (404, "reply_unknown"),
    errors.IdentifierAmbiguous: (409, "patient_ambiguous"),
    errors.PreferenceLocked: (423, "preference_locked"),
    errors.ToggleOff: (409, "toggle_off"),
    errors.OptInOff: (409, "opt_in_off"),
    errors.SearchOff: (409, "search_off"),
    errors.SettingRefused: (409, "setting_refused"),
    errors.RoleRefused: (403, "role_refused"),
    errors.VersionConflict: (412, "version_conflict"),
    errors.TooManyTries: (429, "too_many_tries"),
    errors.ValueRefused: (422, "value_refused"),
    errors.RunActive: (409, "run_active"),
    errors.NothingHeld: (409, "nothing_held"),
    errors.NotOnWorklist: (409, "not_on_worklist"),
    errors.PayloadUnreadable: (409, "payload_unreadable"),
    errors.IdentifierConflict: (409, "identifier_conflict"),
    errors.MergeRefused: (409, "merge_refused"),
    errors.ChainBroken: (409, "chain_broken"),
    errors.FeedRestarted: (410, "feed_restarted"),
}
"""Every error of the store. One that is missing here would become an internal error."""
log = logging.getLogger("emr_sync.web")


class ProblemDetails(Exception):
    """A response that is not a success. ``code`` is stable; ``detail`` names fields and never quotes the request."""

    def __init__(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        self.status, self.code, self.detail, self.headers, self.more = status, code, detail, headers or {}, more
        super().__init__(f"{status} {code}")

    def body(self) -> bytes:
        """The problem as JSON."""
        kind, title = PREFIX + self.code.replace("_", "-"), self.code.replace("_", " ").capitalize()
        return msgspec.json.encode(
            {"type": kind, "title": title, "status": self.status, "code": self.code, "detail": self.detail, **self.more}
        )


def problem_of(error: Exception) -> ProblemDetails:
    """The problem for any error. An unexpected error reveals nothing to the caller."""
    if isinstance(error, ProblemDetails):
        return error
    if isinstance(error, errors.StoreError) and (known := status_of(type(error))):
        return _store_problem(error, *known)
    if isinstance(error, errors.SchemaOutdated) or outage.explanation(error):
        return ProblemDetails(503, "store_unavailable", "the database is unavailable: try again later", {"Retry-After": RETRY_AFTER})
    if isinstance(error, HTTPException):
        status = HTTPStatus(error.status_code)
        return ProblemDetails(status, status.phrase.lower().replace(" ", "_"), _framework_detail(status), dict(error.headers or {}))
    return ProblemDetails(500, "internal_error", "internal error: see the log of the service")


def logged(error: Exception, method: str, address: str) -> ProblemDetails:
    """The problem for an error. Only the type of an unexpected one is logged, since its text may quote a patient's data."""
    problem = problem_of(error)
    if problem.status >= 500:
        log.error("%s %s failed: %s", method, address, outage.explanation(error) or type(error).__name__)
    return problem


def answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Handles every exception of the framework's routes."""
    problem = logged(error, request.scope["method"], request.scope.get("path_template", ""))
    return Response(problem.body(), status_code=problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def counting(count: Callable[[], None]) -> Callable[[Request[Any, Any, Any], Exception], Response[bytes]]:
    """The same for errors that somebody counts."""

    def counted(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        count()
        return answer(request, error)

    return counted


def status_of(kind: type[Exception]) -> tuple[int, str] | None:
    """The status and code of an error of the store: its own, or those of its nearest base class."""
    return next((STATUS[one] for one in kind.__mro__ if one in STATUS), None)


def _store_problem(error: errors.StoreError, status: int, code: str) -> ProblemDetails:
    if isinstance(error, errors.TooManyTries):
        return ProblemDetails(status, code, str(error), {"Retry-After": str(error.after)})
    if not isinstance(error, errors.PreferenceLocked):
        return ProblemDetails(status, code, str(error))
    since = error.since.isoformat().replace("+00:00", "Z") if error.since else None
    return ProblemDetails(status, code, str(error), attribute=error.attribute, source=error.source, where=error.where, since=since)


def _framework_detail(status: HTTPStatus) -> str:
    """The detail for an error of the framework, whose own texts may quote the request."""
    texts = {
        HTTPStatus.NOT_FOUND: "not found",
        HTTPStatus.METHOD_NOT_ALLOWED: "method not allowed at this address",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "the body is too large for this address",
    }
    return texts.get(status, status.description or status.phrase)
