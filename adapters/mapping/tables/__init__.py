"""Tables of codes used by EMRs, one YAML file each, loaded once. Where a site's codes differ, its source has settings or rules."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent


@cache
def table(name: str) -> dict[str, Any]:
    """The table ``name``. All codes are text, including unquoted ones that YAML would read as numbers or booleans."""
    loaded = yaml.load((FOLDER / f"{name}.yaml").read_text("utf-8"), Loader=yaml.CBaseLoader)
    return dict(loaded)
