"""Pages as HTML: Jinja2 with everything escaped, and static files with their digest in the URL."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from store.web.pages import labels

STATIC = {
    "pages.css": "text/css",
    "live.js": "text/javascript",
    "find.js": "text/javascript",
    "copy.js": "text/javascript",
    "mark.svg": "image/svg+xml",
}
CONTENT = {name: (files("store.web.pages") / "static" / name).read_bytes() for name in STATIC}


def address(name: str) -> str:
    """The URL of a static file. It contains the file's digest, so that browsers may cache it forever."""
    return f"/static/{hashlib.sha256(CONTENT[name]).hexdigest()[:12]}/{name}"


def clock(zone: ZoneInfo, moment: datetime | None) -> Markup:
    """A time as HTML, in the enterprise's time zone."""
    if moment is None:
        return Markup("never")
    local = moment.astimezone(zone)
    return Markup('<time datetime="{}">{}</time>').format(local.isoformat(timespec="seconds"), f"{local:%Y-%m-%d %H:%M %Z}")


def with_code(text: str) -> Markup:
    """A text as HTML, with what is between backticks as code."""
    return Markup("").join(Markup("<code>{}</code>" if place % 2 else "{}").format(part) for place, part in enumerate(text.split("`")))


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """The HTML of a page."""
    return environment.get_template(template).render(values)


environment = Environment(
    loader=PackageLoader("store.web.pages", "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
environment.globals.update(static=address, number=labels.number, birth_date=labels.birth_date, span=labels.span, title_of=labels.title)
environment.globals.update(reason_title=labels.reason_title)
environment.filters.update(sentence=labels.sentence, code=with_code)
