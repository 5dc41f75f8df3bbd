"""What every group of settings is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A group of settings. Unknown ones are mistakes: a misspelt setting must not be silently without effect."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)
