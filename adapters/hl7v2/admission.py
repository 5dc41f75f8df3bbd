"""Which connections a listener takes: from peers that are listed, and so many in all and from one address. Pure."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

NOT_A_PEER, ADDRESS_FULL, FULL = REASONS = ("not_a_peer", "address_full", "full")
"""Why a connection was refused. Stable codes: metrics and logs carry them."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Addresses and CIDR networks. Raises ``ValueError`` that names the one that is neither."""
    return tuple(_network(text) for text in texts)


def _network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text.strip())
    except ValueError:
        raise ValueError(f"peers has {text!r}: write an address or a network, like 10.1.2.3 or 10.1.2.0/24") from None


@dataclass(slots=True)
class Admission:
    """Counts the open connections. ``most`` in all, ``most_per_address`` of one address; without ``peers`` everybody may connect."""

    most: int
    most_per_address: int
    peers: Sequence[Network] = ()
    _open: Counter[str] = field(default_factory=Counter)

    def narrow(self, most: int) -> None:
        """Takes no more than so many, and of one address fewer in proportion, so that one peer leaves room for others."""
        self.most_per_address = max(1, min(self.most_per_address, self.most_per_address * most // self.most))
        self.most = min(self.most, most)

    def enter(self, address: str) -> str:
        """Counts one more connection of this address, or says why it is refused."""
        if self.peers and not self._listed(address):
            return NOT_A_PEER
        if self._open[address] >= self.most_per_address:
            return ADDRESS_FULL
        if self._open.total() >= self.most:
            return FULL
        self._open[address] += 1
        return ""

    def leave(self, address: str) -> None:
        """The connection has ended."""
        self._open[address] -= 1
        self._open += Counter()  # forgets addresses without connections

    def _listed(self, address: str) -> bool:
        found = ipaddress.ip_address(address.partition("%")[0])
        mapped = getattr(found, "ipv4_mapped", None)
        return any((mapped or found) in network for network in self.peers)
