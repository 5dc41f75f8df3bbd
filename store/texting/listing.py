"""Which numbers a patient has, by any authority that lists them, in force or not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from store.preference import PHONES, Assertion, base


def listed(said: Iterable[Mapping[str, Assertion]]) -> frozenset[str]:
    """The numbers in what each authority asserts about a patient."""
    lists = [one.value for assertions in said for name, one in assertions.items() if base(name) == PHONES]
    return frozenset([phone.number for phones in lists for phone in phones or ()])
