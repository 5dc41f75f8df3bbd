"""Decides which connections a listener accepts: listed peers only, up to a total limit and a limit per address. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

NOT_A_PEER, ADDRESS_FULL, FULL = REASONS = ("not_a_peer", "address_full", "full")
"""Why a connection was refused. Stable codes: they are used in metrics and logs."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parses addresses and CIDR networks. Raises ``ValueError`` for the first invalid one."""
    return tuple(_network(text) for text in texts)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        raise ValueError(f"peers has {text!r}: write an address or a network, like 10.1.2.3 or 10.1.2.0/24") from None


@dataclass(slots=True)
class Admission:
    """Counts and limits open connections, in total and per address. Without ``peers`` every address may connect."""

    max_connections: int
    max_per_address: int
    peers: Sequence[Network] = ()
    _open: Counter[str] = field(default_factory=Counter)

    def limit_connections(self, connections: int) -> None:
        """Lowers the total limit, and the limit per address in proportion, so that one peer leaves room for others."""
        self.max_per_address = max(1, min(self.max_per_address, self.max_per_address * connections // self.max_connections))
        self.max_connections = min(self.max_connections, connections)

    def enter(self, address: str) -> str:
        """Counts one more connection from this address. Returns the reason if it is refused, otherwise an empty text."""
        if self.peers and not self._listed(address):
            return NOT_A_PEER
        if self._open[address] >= self.max_per_address:
            return ADDRESS_FULL
        if self._open.total() >= self.max_connections:
            return FULL
        self._open[address] += 1
        return ""

    def leave(self, address: str) -> None:
        """Counts one connection from this address less."""
        self._open[address] -= 1
        self._open += Counter()  # removes addresses without connections

    def _listed(self, address: str) -> bool:
        found = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.peers)
