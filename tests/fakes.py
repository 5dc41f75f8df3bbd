"""Fakes that are injected where the real thing would need an EMR or a long wait. No product code is patched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

from adapters.base import AdapterError, Batch, Explanation, Fetch, Filtered, Finding, Item, Payload, Unmappable
from store.preference import Codes, Problem, Statement
from tests.factories import NOW, statements


class FakeClock:
    """A clock that advances one second at every reading."""

    def __init__(self, start: datetime = NOW) -> None:
        self.now = start

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


class FakeMapper:
    """Maps ``MRN=value`` to do_not_contact, ``#`` to filtered, raises on ``!``, and finds everything else unmappable.

    "no" is effective one minute after any other value.
    """

    mapping = ""

    def reread(self, attribute: str, codes: Codes) -> tuple[Statement | None, Problem | None] | None:
        return None

    def read(self, payload: Payload) -> list[Item]:
        text = payload.body.decode()
        if text.startswith("!"):
            raise RuntimeError("a mapper that breaks its promise")
        if text.startswith("#"):
            return [Filtered("not_for_us", payload.locator)]
        if "=" not in text:
            return [Unmappable("not_readable", "this is not a record: look at its beginning", payload.locator)]
        return [statements(*_split(one), minutes="=no" in one) for one in text.split(";")]

    def explain(self, payload: Payload) -> Explanation:
        return Explanation(self.read(payload))


def _split(text: str) -> tuple[str, dict[str, str]]:
    value, _, stated = text.partition("=")
    return value, {"do_not_contact": stated}


class FakeAdapter:
    """An EMR as a list of batches. An exception in the list is raised once in its place; the next read continues after it."""

    def __init__(self, *script: Batch | BaseException | Callable[[], None]) -> None:
        self.mapper = FakeMapper()
        self.script = list(script)
        self.requests: list[Fetch] = []

    def fetch(self, request: Fetch) -> Iterator[Batch]:
        self.requests.append(request)
        while self.script:
            step = self.script.pop(0)
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, Batch):
                yield step
            else:
                step()

    def check(self) -> Iterator[Finding]:
        yield Finding("reach", True, "always")

    def payloads(self, path: Path) -> Iterator[Payload]:
        for number, line in enumerate(path.read_text().splitlines()):
            yield Payload(line.encode(), f"{path.name}:{number + 1}", NOW)


def batch(*items: Item, cursor: str | None = None) -> Batch:
    return Batch(items, cursor, [json.dumps(index).encode() for index in range(len(items))])


def passing(message: str = "the EMR is away") -> AdapterError:
    return AdapterError(message)


def permanent(message: str = "the key is refused") -> AdapterError:
    return AdapterError(message, permanent=True)
