"""The OpenAPI 3.1 document of the API, built from the endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from store.domain.decision_request import Decision
from store.domain.lock import Role
from store.web.api.endpoint import Endpoint
from store.web.api.feed import ChangesOut
from store.web.api.health import Readiness
from store.web.api.openapi_parts import EXAMPLES, PARAMETER, errors, operation_id, tag, with_reasons
from store.web.api.wire import AnsweredIn, AskIn, BareAskIn, InvalidAsk
from store.web.http.problem import MEDIA_TYPE

REF = "#/components/schemas/{name}"
SENDER = frozenset({Role.SENDER})
WAIT = {
    "after": "next from the previous page; 0 to start",
    "epoch": "epoch from the previous page; 410 if the feed cannot continue from there",
    "limit": "maximum number of changes, up to 10000",
    "wait": "seconds to wait, up to 30",
}


class ProblemOut(msgspec.Struct, rename={"kind": "type"}):
    """RFC 9457 problem details. ``code`` is stable; other members depend on it."""

    kind: str
    title: str
    status: int
    code: str
    detail: str


def _never(_: Any) -> Any:
    raise AssertionError("rows of the document are not called")


OWN_HANDLERS = (
    Endpoint("POST", "/v1/decisions", SENDER, "One decision: may this message be sent?", _never, AskIn, Decision),
    Endpoint("POST", "/v1/decisions/batch", SENDER, "Up to 10000 decisions, or NDJSON without limit", _never, list[AskIn], list[Decision]),
    Endpoint("GET", "/v1/changes", SENDER, "Changed patients in order", _never, None, ChangesOut, WAIT),
)
"""Endpoints with handlers of their own."""


def _open(
    operation: str, summary: str, description: str, name: str, body: Mapping[str, Any] | None, **responses: tuple[str, str]
) -> dict[str, Any]:
    """An operation that needs no key, and its id. ``responses``: status -> its description and its media type."""
    answers = {status[1:]: {"description": text, "content": {media: {}}} for status, (text, media) in responses.items()}
    found: dict[str, Any] = {
        "operationId": operation,
        "tags": [OPEN],
        "summary": summary,
        "description": description,
        "security": [],
        "parameters": [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}}],
        "responses": {**answers, "default": PROBLEM},
    }
    return found if body is None else {**found, "requestBody": {"required": True, "content": body}}


OPEN = "without a key"
PROBLEM = {"description": "problem details", "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="ProblemOut")}}}}
FORM, PAGE = "application/x-www-form-urlencoded", "text/html"
ONE_CLICK = {FORM: {"schema": {"type": "object", "properties": {"List-Unsubscribe": {"const": "One-Click"}}}}}
OPEN_PATHS: Mapping[str, Any] = {
    "/v1/inbound/{provider}": {
        "post": _open(
            "post_inbound",
            "Webhooks of a messaging provider",
            "The provider's own body and signature. 401: not signed as configured. 503: send it again.",
            "provider",
            {"application/json": {}, FORM: {}},
            s200=("committed", "text/plain"),
        )
    },
    "/v1/push/{source}": {
        "post": _open(
            "post_push",
            "Notifications of an EMR's FHIR Subscriptions",
            "The patients it names are read again; it changes nothing itself. 401: not signed as configured. 503: send it again.",
            "source",
            {"application/fhir+json": {}, "application/json": {}},
            s202=("the patients will be read again", "text/plain"),
            s200=("nothing to read", "text/plain"),
        )
    },
    "/unsubscribe/{token}": {
        "get": _open(
            "get_unsubscribe",
            "The page of an unsubscribe link",
            "Changes nothing.",
            "token",
            None,
            s200=("page", PAGE),
            s404=("unknown link", PAGE),
        ),
        "post": _open(
            "post_unsubscribe",
            "One-click unsubscribe (RFC 8058)",
            "Records the opt-out; repeats change nothing.",
            "token",
            ONE_CLICK,
            s200=("unsubscribed", PAGE),
            s400=("the body is not List-Unsubscribe=One-Click", PAGE),
            s404=("unknown link", PAGE),
        ),
    },
}
"""Endpoints that need no key."""


def document(endpoints: Iterable[Endpoint], version: str) -> bytes:
    """The document as JSON."""
    rows = (*OWN_HANDLERS, *endpoints)
    types = [kind for row in rows for kind in (row.takes, row.gives) if kind is not None]
    schemas, components = msgspec.json.schema_components(
        [*types, ProblemOut, InvalidAsk, BareAskIn, AnsweredIn, Readiness], ref_template=REF
    )
    components = with_reasons(_ecma(components))
    by_type = {repr(kind): shown for kind, shown in zip(types, schemas, strict=False)}
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(PARAMETER.sub(r"{\1}", row.path), {})[row.method.lower()] = _operation(row, by_type)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {"title": "emr-sync", "version": version, "description": "May this patient be contacted, how, where, and why?"},
            "security": [{"key": []}],
            "paths": paths | dict(OPEN_PATHS),
            "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        }
    )


def _ecma(schema: Any) -> Any:
    """Patterns as JavaScript regular expressions (as JSON Schema requires), where ``$`` is the end of the text."""
    if isinstance(schema, dict):
        return {name: one.replace(r"\Z", "$") if name == "pattern" and isinstance(one, str) else _ecma(one) for name, one in schema.items()}
    return [_ecma(one) for one in schema] if isinstance(schema, list) else schema


def _operation(row: Endpoint, by_type: Mapping[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id(row),
        "tags": [tag(row)],
        "summary": row.summary,
        "description": f"Roles: {', '.join(sorted(row.roles))}." + (f" Sender keys need the grant {row.grant}." if row.grant else ""),
        "parameters": [*_in_path(row), *_in_query(row)],
        "responses": {
            str(row.status): {"description": "done", "content": _response_content(row, by_type)},
            **{status: PROBLEM | {"description": text} for status, text in errors(row).items()},
            "default": PROBLEM,
        },
    }
    if row.takes is not None:
        operation["requestBody"] = {"required": True, "content": _content(row, row.takes, by_type)}
    return operation


def _content(row: Endpoint, kind: Any, by_type: Mapping[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": by_type[repr(kind)]}}
    if kind is AskIn:
        content["application/json"]["schema"] = {"anyOf": [by_type[repr(AskIn)], {"$ref": REF.format(name="BareAskIn")}]}
    if kind is row.takes and row.path in EXAMPLES:
        content["application/json"]["example"] = EXAMPLES[row.path]
    if row.path.endswith("/batch"):
        content["application/x-ndjson"] = {"schema": by_type[repr(kind)]["items"]}
    return content


def _response_content(row: Endpoint, by_type: Mapping[str, Any]) -> dict[str, Any]:
    content = _content(row, row.gives, by_type)
    if "format" in row.parameters:
        content["text/csv"] = {"schema": {"type": "string"}}
    return content


def _in_path(row: Endpoint) -> list[dict[str, Any]]:
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in PARAMETER.findall(row.path)]


def _in_query(row: Endpoint) -> list[dict[str, Any]]:
    return [{"name": name, "in": "query", "description": text, "schema": {"type": "string"}} for name, text in row.parameters.items()]
