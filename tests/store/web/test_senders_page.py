"""The examples in docs/senders.md match the service."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

from store.patients.webhook_outbox import Outbox
from tests.store.web.conftest import CELL, NOW, Service

PAGE = (Path(__file__).parents[3] / "docs" / "senders.md").read_text(encoding="utf-8")
ASK, ANSWER, REPLY, WEBHOOK = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
(PYTHON,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_python_example_imports_names_of_the_client() -> None:
    compile(PYTHON, "docs/senders.md", "exec")
    exec(PYTHON.splitlines()[0], {})  # its first line is the import


def test_the_example_request_gets_the_documented_response(fresh: Service) -> None:
    assert fresh.call("POST", "/v1/sms-replies", REPLY).json["recognised"] == "opt_out"
    decision = fresh.call("POST", "/v1/decisions", {**ASK, "patient": {**ASK["patient"], "value": "MRN1"}}).json
    assert set(decision) == set(ANSWER)
    for name in ("decision", "channel", "language", "reasons", "skipped", "stale"):
        assert decision[name] == ANSWER[name]
    assert (decision["address"], set(decision["evidence"][0])) == (CELL, set(ANSWER["evidence"][0]))


def test_the_example_webhook_is_what_an_endpoint_gets(fresh: Service) -> None:
    outbox = Outbox(fresh.store, "crm", "general")
    outbox.fill(NOW)
    fresh.call("POST", "/v1/sms-replies", REPLY)
    outbox.fill(NOW)
    body = json.loads(outbox.claim(NOW, timedelta(minutes=1))[0].message.body)
    assert (body["type"], set(body), set(body["data"])) == (WEBHOOK["type"], set(WEBHOOK), set(WEBHOOK["data"]))


def test_the_documented_codes_are_those_of_the_service(service: Service) -> None:
    replies = [
        service.call("POST", "/v1/decisions", b"{"),
        service.call("POST", "/v1/decisions", ASK, role=None),
        service.call("POST", "/v1/decisions", ASK, role="staff"),
        service.call("GET", "/nowhere"),
        service.call("POST", "/v1/decisions", b"x" * 2_000_000),
        service.call("POST", "/v1/decisions", {**ASK, "tpoic": "recall"}),
    ]
    for reply in replies:
        assert f"| {reply.status} |" in PAGE
        assert f"`{reply.json['code']}`" in PAGE
