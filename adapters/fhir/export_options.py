"""The settings of a bulk export (``export`` in the source's configuration), read and checked once. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from adapters.base import SourceSettings
from adapters.options import listed, number


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is exported, and how.

    ``since``: later exports contain only changes; off for servers whose ``_since`` cannot be trusted. ``parameters``: further kick-off
    parameters. ``file_origins``: other origins to which the token may be sent, if files need it there. ``give_up_after``: an export that
    takes longer is dropped and requested again.
    """

    level: str = "patient"
    group: str = ""
    since: bool = True
    parameters: Mapping[str, str] = field(default_factory=dict)
    file_origins: tuple[str, ...] = ()
    give_up_after: timedelta = timedelta(days=7)

    @property
    def path(self) -> str:
        """The path of the operation below the base URL. Source: Bulk Data Access IG, "Bulk Data Export Operation Request Flow"."""
        return {"patient": "Patient/$export", "group": f"Group/{self.group}/$export", "system": "$export"}[self.level]


def export_options(settings: SourceSettings) -> ExportOptions:
    """The options of a source. Raises ``ValueError`` with the name of the option and what it accepts."""
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
