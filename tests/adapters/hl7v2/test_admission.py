"""Admission of connections to a listener."""

from __future__ import annotations

import pytest

from adapters.hl7v2.admission import ADDRESS_FULL, FULL, NOT_A_PEER, Admission, networks


@pytest.mark.parametrize(
    ("peers", "address", "refused"),
    [
        ([], "203.0.113.9", ""),
        (["10.1.2.3"], "10.1.2.3", ""),
        (["10.1.2.3"], "10.1.2.4", NOT_A_PEER),
        (["10.1.2.0/24"], "10.1.2.77", ""),
        (["10.1.2.0/24"], "10.1.3.77", NOT_A_PEER),
        (["192.0.2.1", "10.0.0.0/8"], "10.9.9.9", ""),
        (["2001:db8::/32"], "2001:db8::7", ""),
        (["2001:db8::/32"], "10.1.2.3", NOT_A_PEER),
        (["10.1.2.3"], "::ffff:10.1.2.3", ""),
        (["10.1.2.3"], "::ffff:10.1.2.4", NOT_A_PEER),
        (["fe80::/10"], "fe80::1%eth0", ""),
    ],
)
def test_only_listed_peers_may_connect(peers: list[str], address: str, refused: str) -> None:
    assert Admission(10, 10, networks(peers)).enter(address) == refused


def test_one_address_cannot_use_all_connections() -> None:
    admission = Admission(max_connections=4, max_per_address=2)
    assert [admission.enter("10.0.0.1") for _ in range(3)] == ["", "", ADDRESS_FULL]
    assert [admission.enter("10.0.0.2") for _ in range(3)] == ["", "", ADDRESS_FULL]
    assert admission.enter("10.0.0.3") == FULL
    admission.leave("10.0.0.1")
    assert admission.enter("10.0.0.3") == ""


@pytest.mark.parametrize("text", ["10.1.2", "10.1.2.3/33", "emr.example", "10.1.2.3/24", ""])
def test_invalid_addresses_and_networks_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write an address or a network"):
        networks([text])
