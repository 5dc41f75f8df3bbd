"""Turns validation errors of a model into errors that say how to fix them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sync.config.document import Document
from sync.config.places import home
from sync.config.problems import Path, one_of

Model = TypeVar("Model", bound=BaseModel)
QUOTED = re.compile(r"'([^']*)'")
DURATION = re.compile(r"(days|seconds)=(\d+)")

PLAIN = {
    "missing": "missing; add it",
    "date_type": "must be a date; write it like 2027-01-31",
    "date_from_datetime_parsing": "not a date; write it like 2027-01-31",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "string_type": "must be a single value; write one, or remove the line",
    "dict_type": "must be a group of settings; indent them below it, as 'name: value'",
    "model_type": "must be a group of settings; indent them below it, as 'name: value'",
    "list_type": "must be a list; write [one, another]",
}


def checked(document: Document, path: Path, model: type[Model], data: Any, also_known: Iterable[str] = ()) -> Model | None:
    """The data as the model. ``also_known`` are keys of another model at this level.

    Each error is noted. The valid settings are returned, so that later checks can still report theirs.
    ``None`` where nothing can be built. ``load`` never returns settings with an error.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = error.errors()
    for one in wrong:
        document.mistake(
            (*path, *one["loc"]), _message(one, _fields(model, one["loc"][:-1]) + list(also_known if len(one["loc"]) == 1 else ()))
        )
    bad = {one["loc"][0] for one in wrong if one["loc"]}
    try:
        return model.model_validate({key: value for key, value in data.items() if key not in bad}) if bad else None
    except ValidationError:
        return None


def _message(error: ErrorDetails, known: list[str]) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        place = home(str(error["loc"][-1]), known)
        return f"wrong place; it {place}" if place else f"unknown setting. {one_of(str(error['loc'][-1]), known)}"
    if kind == "literal_error":
        return f"{error['input']!r} is not allowed. {one_of(str(error['input']), QUOTED.findall(error['ctx']['expected']))}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind in ("greater_than_equal", "less_than_equal"):
        limit = _limit(error["ctx"].get("ge", error["ctx"].get("le")))
        return f"out of range; must be {'at least' if kind.startswith('greater') else 'at most'} {limit}"
    return PLAIN.get(kind, error["msg"])


def _fields(model: type[BaseModel], inside: tuple[int | str, ...]) -> list[str]:
    """The settings that a model knows at a nested place."""
    current: Any = model
    for part in inside:
        nested = _models(current.model_fields[part].annotation) if part in getattr(current, "model_fields", {}) else [current]
        current = nested[0] if nested else current
    return [field.alias or name for name, field in current.model_fields.items()]


def _models(annotation: Any) -> list[Any]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in getattr(annotation, "__args__", ()) for model in _models(argument)]


def _limit(value: Any) -> str:
    """A limit as it would be written. Pydantic hands over that of a duration as ``datetime.timedelta(seconds=300)``."""
    if not isinstance(value, str):
        return f"{value:g}"
    return " ".join(f"{number}{unit[0]}" for unit, number in DURATION.findall(value))
