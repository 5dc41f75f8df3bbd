"""What a process tells the one that it started (``sync.child``): the settings in force, whatever the configuration file says by now.

The first message is the version of the program, so that a program that was upgraded on disk does not misread the second. Every other is
settings to use, or the reason why the parent kept its former ones. They contain secrets: they pass only through the connection between the
two processes.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections import ChainMap
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO, Any

from store.version import version
from sync.config.problems import UsageError
from sync.config.settings import Settings

Told = Settings | str
UPGRADED = "the program was upgraded to {found}, but the service still runs {running}: restart the service"


def first(settings: Settings) -> bytes:
    """The beginning of a conversation."""
    return written(version()) + told(settings)


def told(what: Told) -> bytes:
    """One message more."""
    return written(what)


def read_first(stream: IO[bytes]) -> Settings:
    """What :func:`first` wrote. Raises ``EOFError`` if the parent has ended, and ``UsageError`` if it is of another version."""
    if (running := pickle.load(stream)) != version():
        raise UsageError(UPGRADED.format(found=version(), running=running))
    settings: Settings = pickle.load(stream)
    return settings


def read(stream: IO[bytes]) -> Told:
    """The next message. Raises ``EOFError`` at the end, also in the middle of one."""
    try:
        what: Told = pickle.load(stream)
    except pickle.UnpicklingError as error:
        raise EOFError from error
    return what


def _frozen(values: Mapping[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(values)


def _reduced(values: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return _frozen, (dict(values),)


REDUCERS = ChainMap[Any, Any]({MappingProxyType: _reduced}, copyreg.dispatch_table)
"""Read-only mappings, which the settings contain, are not pickled otherwise."""


def written(what: Any) -> bytes:
    """Any values that consist of settings."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = REDUCERS
    pickler.dump(what)
    return buffer.getvalue()
