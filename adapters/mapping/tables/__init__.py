"""Tables of codes that EMRs use, as data: one YAML file each, read once. A site adds its own codes in the settings of a source."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent


@cache
def table(name: str) -> dict[str, Any]:
    """The table ``name``. Codes are text, also those that YAML takes for numbers or booleans when they stand without quotes."""
    loaded = yaml.load((FOLDER / f"{name}.yaml").read_text("utf-8"), Loader=yaml.CBaseLoader)
    return dict(loaded)
