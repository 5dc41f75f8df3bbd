"""Validates a resource against the full FHIR model, for diagnosis only: the mapping does not require a valid resource.

``fhir.resources`` is slow to load and to run; nothing in the path of a record uses it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from store.preference import Problem

MOST = 20


def deviations(resource: dict[str, Any], release: str = "R4") -> Iterator[Problem]:
    """Where the resource deviates from the standard: R5 for release ``R5``, else R4B, whose Patient, Consent and Flag are those of R4.

    Details contain the kind of deviation and no value. A resource type unknown to the release is one deviation.
    """
    if release == "R5":
        from fhir.resources import get_fhir_model_class
    else:
        from fhir.resources.R4B import get_fhir_model_class
    kind = str(resource.get("resourceType"))
    try:
        model = get_fhir_model_class(kind)
    except (ValueError, LookupError):
        yield Problem("resource_type_unknown", "resourceType", "the FHIR release does not have this resource")
        return
    try:
        model.model_validate(resource)
    except ValueError as error:
        listed = error.errors(include_input=False, include_context=False, include_url=False) if hasattr(error, "errors") else []
        yield from (Problem("not_as_specified", _path(kind, one["loc"]), str(one["type"])) for one in listed[:MOST])


def _path(kind: str, location: tuple[str | int, ...]) -> str:
    return kind + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
