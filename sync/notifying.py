"""Sends a message to an address that Apprise knows: a webhook, e-mail, or one of its many services."""

from __future__ import annotations

from sync import logs


def is_known(url: str) -> bool:
    """Whether it is an address that can be sent to. Nothing is sent."""
    from apprise import Apprise  # half a second, which only those who configured alerts wait for

    return bool(Apprise().add(url))


def send(url: str, title: str, text: str) -> bool:
    """Sends it. ``False`` if it was not accepted; the address is in no log, since it may contain a password."""
    from apprise import Apprise, NotifyFormat

    target = Apprise()
    try:
        return target.add(url) and bool(target.notify(title=title, body=text, body_format=NotifyFormat.TEXT))
    except Exception as error:
        logs.logger().error("an alert could not be sent", error=logs.place(error))
        return False
