"""TLS contexts for MLLP and for the API: our certificate, and the authorities that are trusted.

Certificates and keys are PEM, as text (``file:PATH`` and ``${NAME}`` in the configuration give text) or as a file path. The minimum version
is TLS 1.2. For a listener, ``client_ca`` enables mutual TLS: clients need a certificate from that authority. For a client, ``ca`` is the
authority of the server (default: those of the operating system), and ``server_name`` is its name in the certificate.
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
    """The context for a listener; ``None`` if TLS is not configured. ``ValueError`` for unusable settings."""
    if not options:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not options.get("certificate"):
        raise ValueError("tls.certificate is missing: a listener needs a certificate")
    load_certificate(context, options)
    if options.get("client_ca"):
        _load_authority(context, options, "client_ca")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def connecting(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """The context for a client; ``None`` if TLS is not configured. ``ValueError`` for unusable settings."""
    if not options:
        return None
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if options.get("ca"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts only this authority, not those of the operating system
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        _load_authority(context, options, "ca")
    if options.get("certificate"):
        load_certificate(context, options)
    return context


def load_certificate(context: ssl.SSLContext, options: Mapping[str, Any]) -> None:
    """Has the context present this certificate. ``ValueError`` for an unusable one."""
    with _files(str(options["certificate"]), str(options.get("key") or "")) as (certificate, key):
        try:
            context.load_cert_chain(certificate, key, password=lambda: str(options.get("password") or ""))
        except (OSError, ValueError):
            raise ValueError("tls.certificate and tls.key cannot be used: they must be PEM and belong to each other") from None


def _load_authority(context: ssl.SSLContext, options: Mapping[str, Any], name: str) -> None:
    text = str(options[name])
    try:
        context.load_verify_locations(cadata=text if text.startswith(PEM) else Path(text).read_text("ascii"))
    except (OSError, ValueError):
        raise ValueError(f"tls.{name} cannot be used: it must be one or more certificates in PEM") from None


@contextmanager
def _files(certificate: str, key: str) -> Iterator[tuple[str, str | None]]:
    """Both as file paths, because OpenSSL reads keys only from files. PEM text is written briefly to a private temporary file."""
    with tempfile.TemporaryDirectory(prefix="emr-sync-") as folder:

        def path(text: str, name: str) -> str:
            if not text.startswith(PEM):
                return text
            file = os.path.join(folder, name)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
                stream.write(text + "\n")
            return file

        yield path(certificate, "certificate.pem"), path(key, "key.pem") if key else None
