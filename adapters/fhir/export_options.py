"""The settings of a bulk export, read once and checked. Pure. They stand under ``export`` in the source's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from adapters.base import SourceSettings
from adapters.options import listed, number


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is exported, and how.

    ``since``: later exports ask for changes only; off for servers whose ``_since`` cannot be trusted. ``parameters`` are further
    kick-off parameters. ``file_origins`` are other origins to which the token may go, where files need it there.
    ``give_up_after``: an export that takes longer is dropped and asked for anew.
    """

    level: str = "patient"
    group: str = ""
    since: bool = True
    parameters: Mapping[str, str] = field(default_factory=dict)
    file_origins: tuple[str, ...] = ()
    give_up_after: timedelta = timedelta(days=7)

    @property
    def path(self) -> str:
        """The operation, below the base URL. Source: Bulk Data Access IG, "Bulk Data Export Operation Request Flow"."""
        return {"patient": "Patient/$export", "group": f"Group/{self.group}/$export", "system": "$export"}[self.level]


def export_options(settings: SourceSettings) -> ExportOptions:
    """Raises ``ValueError`` that names the option and what it takes."""
    options = settings.options.get("export") or {}
    group = str(options.get("group") or "")
    level = str(options.get("level") or ("group" if group else "patient"))
    if (level == "group") != bool(group):
        raise ValueError("export.group and export.level: group must be used together: set the id of the group that the EMR created for you")
    return ExportOptions(
        level=level,
        group=group,
        since=bool(options.get("since", True)),
        parameters=options.get("parameters") or {},
        file_origins=listed(options, "file_origins"),
        give_up_after=timedelta(seconds=number(options, "give_up_after", 7 * 86400, least=60, most=90 * 86400)),
    )
