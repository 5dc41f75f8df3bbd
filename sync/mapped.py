"""Maps one payload, and rejects only that one if the mapper fails. The process that maps ahead imports little else."""

from __future__ import annotations

from typing import NamedTuple

from adapters.base import Item, Mapper, Payload, Unmappable
from adapters.mapping.program import program
from store.version import version


class MapperRelease(NamedTuple):
    """What must be the same in two processes for both to map a payload to the same items. ``mapping``: the fingerprint of the rules."""

    version: str
    program: str
    mapping: str


def release(mapper: Mapper) -> MapperRelease:
    """That of this process."""
    return MapperRelease(version(), program(), mapper.mapping)


def look_at_release() -> None:
    """For a start: after an upgrade the files are no longer those of the code that this process has loaded."""
    version(), program()


def items(mapper: Mapper, payload: Payload) -> list[Item]:
    """The items of a payload. A mapper should not raise; if it does, only that payload is rejected."""
    try:
        return mapper.read(payload)
    except Exception as error:
        return [Unmappable("mapper_failed", f"mapping error ({type(error).__name__}); please report this", payload.locator)]
