"""Where a Patient keeps its contact points: in ``telecom``, and in the extensions that the source names (option ``telecom``). Pure.

Some vendors keep phones in extensions of their own. Such an extension holds a ContactPoint as its value, or in the extensions inside it.
A place that is absent states nothing. A place without a ContactPoint is unreadable, like a telecom that cannot be read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from adapters.fhir import absent
from store.preference import PHONES, Problem

VALUE = "valueContactPoint"
TELECOM, EXTENSION = "Patient.telecom", "Patient.extension"


class Point(NamedTuple):
    """The contents of a place for a contact point, whatever they are, and its path. ``place``: the entry of the Patient that holds it."""

    entry: Any
    path: str
    place: str


class ContactPoints(NamedTuple):
    """The contact points of a Patient.

    ``is_stated``: whether the Patient has any of the places. ``is_whole``: whether it has all of them, so that a list without entries
    clears earlier values.
    """

    points: tuple[Point, ...] = ()
    problems: tuple[Problem, ...] = ()
    is_stated: bool = False
    is_whole: bool = True

    @property
    def path(self) -> str:
        """The elements that hold the list."""
        return " | ".join(dict.fromkeys(one.place.partition("[")[0] for one in self.points)) or TELECOM

    def at(self, path: str) -> list[Any]:
        """The contact points in the entry of the Patient that a path leads into. None if it leads elsewhere."""
        return [one.entry for one in self.points if path == one.place or path.startswith(one.place + ".")]


def of(resource: dict[str, Any], extensions: Collection[str] = ()) -> ContactPoints:
    """The contact points of a Patient, those of ``telecom`` first. ``extensions``: the URLs of further places."""
    telecom, listed = resource.get("telecom"), [(one, f"{TELECOM}[{index}]") for index, one in enumerate(_list(resource, "telecom"))]
    points = [Point(one, path, path) for one, path in listed]
    problems = [] if telecom is None or type(telecom) is list else [_unreadable(TELECOM, "it is not a list of ContactPoints")]
    is_stated = is_whole = type(telecom) is list
    if extensions:
        held, entries = resource.get("extension"), _list(resource, "extension")
        if held is not None and type(held) is not list:
            problems.append(_unreadable(EXTENSION, "it is not a list of Extensions"))
        named = {one["url"] for one in entries if _is_named(one, extensions)}
        points += [point for index, one in enumerate(entries) if _is_named(one, extensions) for point in _inside(one, index)]
        is_stated, is_whole = is_stated or bool(named), is_whole and named == set(extensions)
    return ContactPoints(tuple(points), tuple(problems), is_stated, is_whole)


def _is_named(entry: Any, extensions: Collection[str]) -> bool:
    return type(entry) is dict and isinstance(entry.get("url"), str) and entry["url"] in extensions


def _inside(extension: dict[str, Any], index: int) -> Iterator[Point]:
    """The contact points of one extension. A withheld one is like a ContactPoint without a value."""
    place = f"{EXTENSION}[{index}]"
    parts = [(one, f"{place}.extension[{at}]") for at, one in enumerate(_list(extension, "extension"))]
    holders = [(one, path) for one, path in [(extension, place), *parts] if type(one) is dict and VALUE in one]
    yield from (Point(one[VALUE], f"{path}.{VALUE}", place) for one, path in holders)
    if not holders:
        yield Point({} if absent.reason(extension) else None, f"{place}.{VALUE}", place)


def _list(holder: dict[str, Any], name: str) -> list[Any]:
    found = holder.get(name)
    return found if type(found) is list else []


def _unreadable(path: str, detail: str) -> Problem:
    return Problem("telecom_unreadable", path, detail, PHONES)
