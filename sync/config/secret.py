"""Secrets and other values from outside the file: ``${ENV_NAME}`` within any text, ``file:PATH`` as the whole of it.

Mapping rules are left alone: a FHIRPath or a site's code may contain anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath
from typing import Any

from sync.config.document import Document
from sync.config.problems import Path

VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
SECRET_KEYS = frozenset({"private_key", "client_secret", "password", "token", "secret", "shared_secret", "key"})
SECRET_GROUPS = (("payload_keys", "keys"), ("alerts", "to"))
PASSWORD_IN_URL = re.compile(r"^[a-z0-9+.-]+://[^/@:]*:[^/@$]+@", re.IGNORECASE)


def resolve(document: Document, environ: Mapping[str, str], folder: FilePath) -> Any:
    """The document's data with every reference replaced. A missing variable or file is reported as an error."""

    def replaced(path: Path, text: str) -> str:
        if text.startswith("file:"):
            return _from_file(document, path, folder / text.removeprefix("file:"))
        _warn_in_clear(document, path, text)
        return VARIABLE.sub(lambda match: _from_environment(document, path, match[1], environ), text)

    return _walk((), document.data, replaced)


def _walk(path: Path, value: Any, replaced: Callable[[Path, str], str]) -> Any:
    if isinstance(value, dict):
        return {key: child if key == "mapping" else _walk((*path, key), child, replaced) for key, child in value.items()}
    if isinstance(value, list):
        return [_walk((*path, index), child, replaced) for index, child in enumerate(value)]
    return replaced(path, value) if isinstance(value, str) else value


def _from_file(document: Document, path: Path, file: FilePath) -> str:
    try:
        return file.read_text("utf-8").strip()
    except OSError as error:
        document.mistake(path, f"the file {file} cannot be read ({error.strerror}); create it, or correct the path after 'file:'")
    except UnicodeDecodeError:
        document.mistake(path, f"the file {file} is not text; a key must be in PEM format")
    return ""


def _from_environment(document: Document, path: Path, name: str, environ: Mapping[str, str]) -> str:
    if name not in environ:
        document.mistake(path, f"environment variable {name} is not set; export it before starting emr-sync")
    return environ.get(name, "")


def _warn_in_clear(document: Document, path: Path, text: str) -> None:
    named = bool(path) and (str(path[-1]) in SECRET_KEYS or path[:2] in SECRET_GROUPS)
    if (named and text and not VARIABLE.search(text)) or PASSWORD_IN_URL.match(text):
        document.warn(path, "secret in plain text; write ${ENV_NAME} or file:PATH instead")
