"""What a reply to a text means (product rule 6)."""

from __future__ import annotations

REPLIES: tuple[tuple[str, str | None, str | None], ...] = (
    *((word, "opt_out", "line") for word in ("STOP", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPT OUT", "OPTOUT")),
    ("STOPALL", "opt_out", "all_lines"),
    ("STOP ALL", "opt_out", "all_lines"),
    ("stop", "opt_out", "line"),
    ("  Stop. ", "opt_out", "line"),
    ("STOP!!!", "opt_out", "line"),
    ('"Stop"', "opt_out", "line"),
    ("opt-out", "opt_out", "line"),
    ("Opt  out.", "opt_out", "line"),
    ("stop\nall", "opt_out", "all_lines"),
    ("STOP STOP", "opt_out", "line"),
    ("stop, unsubscribe!", "opt_out", "line"),
    ("ＳＴＯＰ", "opt_out", "line"),  # noqa: RUF001 - full width, as some phones write
    ("START", "opt_in", "line"),
    ("Unstop", "opt_in", "line"),
    ("yes.", "opt_in", "line"),
    ("stop by at noon", None, None),
    ("yes please", None, None),
    ("yes stop", None, None),
    ("I want to cancel my appointment", None, None),
    ("STOPP", None, None),
    ("?!", None, None),
    ("", None, None),
)
