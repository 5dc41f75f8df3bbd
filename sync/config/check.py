"""Turns what a model finds wrong into mistakes that say how to mend them."""

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

PLAIN = {
    "missing": "is missing: add it",
    "date_from_datetime_parsing": "is no date: write it like 2027-01-31",
    "bool_parsing": "is neither true nor false: write one of them",
    "int_parsing": "is no whole number",
    "float_parsing": "is no number",
    "string_type": "is empty or no single value: write one, or remove the line",
    "dict_type": "holds further settings: indent them below it, as 'name: value'",
    "model_type": "holds further settings: indent them below it, as 'name: value'",
    "list_type": "is a list: write [one, another]",
}


def checked(document: Document, path: Path, model: type[Model], data: Any, also_known: Iterable[str] = ()) -> Model | None:
    """The data as the model. ``also_known`` are keys of another model at this level.

    Each mistake is noted; what is well without them is given back, so that checks that build on it still find theirs.
    ``None`` where nothing can be built. Nothing is run with settings that hold a mistake (``load``).
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = error.errors()
    for one in wrong:
        document.mistake(
            (*path, *one["loc"]), _mend(one, _fields(model, one["loc"][:-1]) + list(also_known if len(one["loc"]) == 1 else ()))
        )
    bad = {one["loc"][0] for one in wrong if one["loc"]}
    try:
        return model.model_validate({key: value for key, value in data.items() if key not in bad}) if bad else None
    except ValidationError:
        return None


def _mend(error: ErrorDetails, known: list[str]) -> str:
    kind = error["type"]
    if kind == "extra_forbidden":
        place = home(str(error["loc"][-1]), known)
        return f"is no setting here: it {place}" if place else f"is no setting here. {one_of(str(error['loc'][-1]), known)}"
    if kind == "literal_error":
        return f"cannot be {error['input']!r}. {one_of(str(error['input']), QUOTED.findall(error['ctx']['expected']))}"
    if kind == "value_error":
        return str(error["ctx"]["error"])
    if kind in ("greater_than_equal", "less_than_equal"):
        limit = error["ctx"].get("ge", error["ctx"].get("le"))
        return f"is out of range: {'at least' if kind.startswith('greater') else 'at most'} {limit:g}"
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
