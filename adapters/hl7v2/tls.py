"""TLS for MLLP, and for the API: who we are, and by which authority the other side is known.

Certificates and keys are PEM, as text (``file:PATH`` and ``${NAME}`` in the configuration give text) or as the path of a file.
TLS 1.2 is the oldest spoken. Listening, ``client_ca`` makes it mutual: only who shows a certificate of that authority gets in.
Connecting, ``ca`` is the authority of the other side (else those of the machine) and ``server_name`` its name in the certificate.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PEM = "-----BEGIN"


def listening(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """For connections that are made to us; ``None`` when nothing is configured. ``ValueError`` for what cannot be used."""
    if not options:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not options.get("certificate"):
        raise ValueError("tls.certificate is missing: a listener needs a certificate")
    _show(context, options)
    if options.get("client_ca"):
        _trust(context, options, "client_ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def connecting(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """For connections that we make; ``None`` when nothing is configured. ``ValueError`` for what cannot be used."""
    if not options:
        return None
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.get("ca"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # this authority, and none of the machine's
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _trust(context, options, "ca")
    if options.get("certificate"):
        _show(context, options)
    return context


def _show(context: ssl.SSLContext, options: Mapping[str, Any]) -> None:
    with _files(str(options["certificate"]), str(options.get("key") or "")) as (certificate, key):
        try:
            context.load_cert_chain(certificate, key, password=lambda: str(options.get("password") or ""))
        except (OSError, ValueError):
            raise ValueError("tls.certificate and tls.key cannot be used: they must be PEM and belong to each other") from None


def _trust(context: ssl.SSLContext, options: Mapping[str, Any], name: str) -> None:
    text = str(options[name])
    try:
        context.load_verify_locations(cadata=text if text.startswith(PEM) else Path(text).read_text("ascii"))
    except (OSError, ValueError):
        raise ValueError(f"tls.{name} cannot be used: it must be one or more certificates in PEM") from None


@contextmanager
def _files(certificate: str, key: str) -> Iterator[tuple[str, str | None]]:
    """Both as paths: OpenSSL reads a key from files only. A text is written where nobody else can read, for a moment."""
    with tempfile.TemporaryDirectory(prefix="emr-sync-") as folder:

        def path(text: str, name: str) -> str:
            if not text.startswith(PEM):
                return text
            file = os.path.join(folder, name)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(text + "\n")
            return file

        yield path(certificate, "certificate.pem"), path(key, "key.pem") if key else None
