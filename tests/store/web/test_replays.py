"""A selection of rejections over HTTP: who may select what. The replay itself is tested with ``sync``."""

from __future__ import annotations

from typing import Any

import pytest

from tests.store.web.conftest import Service, reject

REPLAY, PREVIEW = "/v1/rejections/replay", "/v1/rejections/replay/preview"


def test_each_selected_id_is_replayed_once(fresh: Service) -> None:
    one, two = reject(fresh, "general", b"first"), reject(fresh, "general", b"second")
    done = fresh.call("POST", REPLAY, {"ids": [one, two, one]}, role="operator")
    assert done.status == 200
    assert (done.json["replayed"], done.json["resolved"], done.json["left"]) == (2, 2, 0)
    assert [row["id"] for row in done.json["rejections"]] == [one, two]
    assert fresh.requested == [("replay", one, "operator of general"), ("replay", two, "operator of general")]


def test_a_selection_by_source_and_reason_takes_open_rejections(fresh: Service) -> None:
    number = reject(fresh, "general", b"first")
    requested = {"source": "genhosp-adt", "reason": "code_unmapped"}
    assert [row["id"] for row in fresh.call("POST", REPLAY, requested, role="operator").json["rejections"]] == [number]
    assert fresh.call("POST", REPLAY, requested | {"reason": "other"}, role="operator").json["replayed"] == 0
    assert fresh.call("POST", REPLAY, requested, role="operator", enterprise="local").json["replayed"] == 0


def test_a_preview_shows_changes_by_direction_without_values(fresh: Service) -> None:
    number = reject(fresh, "general", b"first")
    found = fresh.call("POST", PREVIEW, {"ids": [number]}, role="operator")
    assert found.json["flips"] == {"more_contactable": 0, "less_contactable": 1}
    assert found.json["changes"] == [{"patient": "pt_1", "attribute": "phones", "direction": "other"}]
    assert (found.json["resolved"], found.json["open"]) == (0, 1)
    assert b"555" not in found.body
    assert fresh.requested == []


@pytest.mark.parametrize("path", [REPLAY, PREVIEW])
def test_an_id_of_another_enterprise_is_not_found_and_nothing_is_replayed(fresh: Service, path: str) -> None:
    own, other = reject(fresh, "general", b"first"), reject(fresh, "local", b"second")
    for wrong in (other, "rej_0"):
        assert fresh.call("POST", path, {"ids": [own, wrong]}, role="operator").status == 404
    assert fresh.requested == []


@pytest.mark.parametrize("path", [REPLAY, PREVIEW])
@pytest.mark.parametrize(
    "body",
    [{}, {"ids": [], "source": "genhosp-adt"}, {"ids": [], "reason": "x"}, {"reason": "x"}, {"all": True}, {"ids": ["rej_0"] * 1001}],
    ids=["nothing", "both", "ids with a reason", "a reason alone", "all", "too many"],
)
def test_an_invalid_selection_is_refused(service: Service, path: str, body: Any) -> None:
    reply = service.call("POST", path, body, role="operator")
    assert reply.status == 422
    assert reply.headers["content-type"].startswith("application/problem+json")


def test_a_list_can_be_filtered_by_reason(fresh: Service) -> None:
    number = reject(fresh, "general", b"first")
    assert [row["id"] for row in fresh.call("GET", "/v1/rejections?reason=code_unmapped", role="operator").json] == [number]
    assert fresh.call("GET", "/v1/rejections?reason=other", role="operator").json == []
