"""Where a Patient keeps its contact points: in ``telecom``, and in the extensions that the source names (option ``telecom``). Pure.

Some vendors keep phones in extensions of their own. Such an extension holds a ContactPoint as its value, or in the extensions inside it.
A place that is absent states nothing. A place without a ContactPoint is unreadable, like a telecom that cannot be read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
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
    """The contact points of a Patient. ``path``: the elements that hold the list.

    ``is_stated``: whether the Patient has any of the places. ``is_whole``: whether it has all of them, so that a list without entries
    clears earlier values.
    """

    points: Sequence[Point] = ()
    problems: Sequence[Problem] = ()
    is_stated: bool = False
    is_whole: bool = True
    path: str = TELECOM

    def at(self, path: str) -> list[Any]:
        """The contact points in the entry of the Patient that a path leads into. None if it leads elsewhere."""
        return [one.entry for one in self.points if path == one.place or path.startswith(one.place + ".")]


def of(resource: dict[str, Any], extensions: Collection[str] = ()) -> ContactPoints:
    """The contact points of a Patient, those of ``telecom`` first. ``extensions``: the URLs of further places."""
    found = _of_telecom(resource.get("telecom"))
    return _with_extensions(found, resource, extensions) if extensions else found


def _of_telecom(telecom: Any) -> ContactPoints:
    if type(telecom) is list:
        return ContactPoints([Point(one, path := f"{TELECOM}[{index}]", path) for index, one in enumerate(telecom)], is_stated=True)
    problems = () if telecom is None else (_unreadable(TELECOM, "it is not a list of ContactPoints"),)
    return ContactPoints(problems=problems, is_whole=False)


def _with_extensions(found: ContactPoints, resource: dict[str, Any], extensions: Collection[str]) -> ContactPoints:
    held, problems = resource.get("extension"), list(found.problems)
    if held is not None and type(held) is not list:
        problems.append(_unreadable(EXTENSION, "it is not a list of Extensions"))
    named = [(index, one) for index, one in enumerate(_list(resource, "extension")) if _is_named(one, extensions)]
    places = {one["url"] for _, one in named}
    inside = [point for index, one in named for point in _inside(one, index)]
    path = " | ".join(name for name, has in ((TELECOM, found.points or not inside), (EXTENSION, inside)) if has)
    is_whole = found.is_whole and places == set(extensions)
    return ContactPoints([*found.points, *inside], problems, found.is_stated or bool(places), is_whole, path)


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
