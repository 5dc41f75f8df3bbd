"""An OperationOutcome as a message that is safe to log: only issue codes and severities, as diagnostics may contain patient data. Pure.

Source: FHIR R4 2.28.1 (OperationOutcome), value set issue-type.
"""

from __future__ import annotations

import json
import re
from typing import Any

from adapters.http import unexpected

_CODE = re.compile(r"[a-z][a-z-]{0,30}")
MOST = 5
ERRORS = ("error", "fatal")


def summary(body: bytes) -> str:
    """``error: not-found, warning: informational``; empty if the body is no OperationOutcome."""
    return ", ".join(list(dict.fromkeys(_issue(issue) for issue in _issues(body)))[:MOST])


def error_detail(body: bytes) -> str:
    """What the body of an error adds to its message: the issues, else a description; nothing for an empty body."""
    if not body.strip():
        return ""
    return f" ({summary(body) or unexpected.described(body)})"


def described(body: bytes) -> str:
    """A description of an unexpected body, with its issues."""
    issues = summary(body)
    return f"{unexpected.described(body)} ({issues})" if issues else unexpected.described(body)


def codes(body: bytes) -> tuple[str, ...]:
    """The codes of the issues that are errors."""
    return tuple(_word(issue.get("code")) for issue in _issues(body) if issue.get("severity") in ERRORS)


def severities(body: bytes) -> tuple[str, ...]:
    """The severity of each issue; empty if the body is no OperationOutcome."""
    return tuple(_word(issue.get("severity")) for issue in _issues(body))


def _issues(body: bytes) -> list[dict[str, Any]]:
    try:
        outcome = json.loads(body)
    except (ValueError, RecursionError):
        return []
    issues = outcome.get("issue") if isinstance(outcome, dict) and outcome.get("resourceType") == "OperationOutcome" else None
    return [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []


def _issue(issue: dict[str, Any]) -> str:
    return f"{_word(issue.get('severity'))}: {_word(issue.get('code'))}"


def _word(value: Any) -> str:
    return value if isinstance(value, str) and _CODE.fullmatch(value) else "unknown"
