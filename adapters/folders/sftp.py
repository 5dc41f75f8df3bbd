"""A drop folder on an SFTP server.

The configuration pins the server's host key. Without it, an attacker in the network could send messages or read the password. Server
clocks and the time zones of listings are unreliable (file ages off by an hour: github.com/nextgenhealthcare/connect issue 3426). So a file
is read only if two listings, ``settle`` seconds apart, show the same size and time.

Options: ``host``, ``port`` (22), ``user``, ``private_key`` (PEM or OpenSSH text, with ``password`` as its passphrase) or ``password``,
``host_key`` (as in ``known_hosts``: ``ssh-ed25519 AAAA…``; several while keys are changed), ``path``, ``settle`` (seconds, default
2), ``timeout`` (seconds, default 30), ``after`` and ``keep_done`` (``adapters.folders.drop_folder``).
"""

from __future__ import annotations

import base64
import binascii
import errno
import io
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from time import sleep as pause
from time import time as now
from typing import Any, NamedTuple

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from adapters.base import AdapterError, Finding
from adapters.folders import drop_folder
from adapters.folders.drop_folder import AfterRead, DroppedFile

SETTLE, TIMEOUT, PORT = 2.0, 30.0, 22
BLOCK = 32 * 1024  # the block size that every server supports in one response
RSA = ("rsa-sha2-512", "rsa-sha2-256")  # signature algorithms of ssh-rsa keys; SHA-1 is not accepted
KEYS = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)


class HostKey(NamedTuple):
    """A pinned host key: its type and its bytes."""

    kind: str
    body: bytes


class SftpServer(NamedTuple):
    """Address and credentials of the server."""

    host: str
    port: int
    user: str
    password: str
    key: paramiko.PKey | None
    host_keys: tuple[HostKey, ...]
    timeout: float


class RemoteFolder:
    """A folder of an open SFTP connection. Listings and ``lstat`` identify links, which are never followed."""

    def __init__(self, client: paramiko.SFTPClient, path: str, settle: float) -> None:
        self._client, self._path, self._settle = client, path.rstrip("/") or "/", settle

    def waiting(self) -> list[DroppedFile]:
        found = [_dropped(one) for one in self._client.listdir_attr(self._path) if stat.S_ISREG(one.st_mode or 0)]
        return sorted(file for file in found if drop_folder.is_waiting(file.name))

    def settled(self) -> Iterator[DroppedFile]:
        listed = self.waiting()
        if not listed:
            return iter(())
        pause(self._settle)
        return iter([file for file in self.waiting() if file in listed])

    def chunks(self, file: DroppedFile) -> Iterator[bytes]:
        """The bytes of a file. No prefetch: paramiko's prefetch thread raises an uncaught exception when the connection breaks."""
        if not stat.S_ISREG(self._client.lstat(self._at(file.name)).st_mode or 0):
            raise AdapterError("a file in the drop folder was replaced by something else: check the folder")
        with self._client.open(self._at(file.name), "rb") as stream:
            yield from iter(lambda: stream.read(BLOCK), b"")

    def is_unchanged(self, file: DroppedFile) -> bool:
        found = self._client.lstat(self._at(file.name))
        return (found.st_size, found.st_mtime) == (file.size, file.written)

    def move(self, file: DroppedFile, folder: str) -> None:
        """Moves a file. A rename in SFTP version 3 never overwrites (draft-ietf-secsh-filexfer-02, 6.5), so a name in use gets a number."""
        with suppress(OSError):  # the folder exists, or the rename below reports the error
            self._client.mkdir(self._at(folder))
        if not stat.S_ISDIR(self._client.lstat(self._at(folder)).st_mode or 0):
            raise AdapterError(drop_folder.LINKED.format(folder=folder), permanent=True)
        target, number = self._at(folder, file.name), 0
        while self._exists(target):
            number += 1
            target = self._at(folder, f"{file.name}.{number}")
        self._client.rename(self._at(file.name), target)
        with suppress(OSError):  # stores the time of the move as access time; a server that refuses keeps its own
            self._client.utime(target, (now(), file.written))

    def clear(self, folder: str, before: float) -> None:
        with suppress(FileNotFoundError):
            if not stat.S_ISDIR(self._client.lstat(self._at(folder)).st_mode or 0):
                raise AdapterError(drop_folder.LINKED.format(folder=folder), permanent=True)
            for one in self._client.listdir_attr(self._at(folder)):
                if stat.S_ISREG(one.st_mode or 0) and max(one.st_mtime or 0, one.st_atime or 0) < before:
                    self._client.remove(self._at(folder, one.filename))

    def _exists(self, path: str) -> bool:
        try:
            self._client.lstat(path)
        except FileNotFoundError:
            return False
        return True

    def _at(self, *names: str) -> str:
        return "/".join((self._path.rstrip("/"), *names))


class SftpDrop:
    """The remote drop folder of one source, by its options. Building it raises ``ValueError`` for an unreadable key."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._server = _server(options)
        self._path = str(options.get("path") or ".")
        self._settle = float(options.get("settle", SETTLE))
        self.after_read = AfterRead.from_options(options)

    @contextmanager
    def opened(self) -> Iterator[RemoteFolder]:
        """The folder, over one connection."""
        with _errors_translated(), _connected(self._server) as client:
            yield RemoteFolder(client, self._path, self._settle)

    def check(self) -> Iterator[Finding]:
        """The findings of ``check SOURCE`` about the server and the folder."""
        try:
            with self.opened() as folder:
                yield Finding("server", True, "connected, host key verified, login accepted")
                yield Finding("waiting", True, f"{len(folder.waiting())} file(s) are waiting")
        except AdapterError as error:
            yield Finding("server", False, str(error))


class SftpUpload:
    """A folder on an SFTP server that files are delivered to. Building it raises ``ValueError`` for an unreadable key."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._server, self._path = _server(options), str(options.get("path") or ".").rstrip("/")

    def deliver(self, files: Sequence[Path]) -> None:
        """Uploads files in their order. Each gets its name when it is complete. Raises :class:`~adapters.base.AdapterError`."""
        with _errors_translated(), _connected(self._server) as client:
            for file in files:
                target = f"{self._path}/{file.name}"
                client.put(str(file), f"{target}.part")
                # one that arrived before the connection broke: a rename never overwrites (draft-ietf-secsh-filexfer-02, 6.5)
                with suppress(FileNotFoundError):
                    client.remove(target)
                client.rename(f"{target}.part", target)


@contextmanager
def _connected(server: SftpServer) -> Iterator[paramiko.SFTPClient]:
    transport = paramiko.Transport(socket.create_connection((server.host, server.port), server.timeout))
    try:
        transport.get_security_options().key_types = _algorithms(server.host_keys)
        transport.start_client(timeout=server.timeout)
        if transport.get_remote_server_key().asbytes() not in [known.body for known in server.host_keys]:
            raise AdapterError(NOT_KNOWN, permanent=True)
        if server.key is not None:
            transport.auth_publickey(server.user, server.key)
        else:
            transport.auth_password(server.user, server.password, fallback=False)
        client = paramiko.SFTPClient.from_transport(transport)
        channel = client.get_channel() if client else None
        if client is None or channel is None:
            raise AdapterError("the server does not open an SFTP session for this user")
        channel.settimeout(server.timeout)
        yield client
    finally:
        transport.close()


NOT_KNOWN = "the server's key does not match 'host_key': confirm the change with its operator before you continue"


@contextmanager
def _errors_translated() -> Iterator[None]:
    """Converts errors to an :class:`AdapterError` that says what to do and contains no text from the server."""
    try:
        yield
    except AdapterError:
        raise
    except paramiko.AuthenticationException:
        raise AdapterError("login failed: check 'user' and 'private_key' or 'password'", permanent=True) from None
    except IncompatiblePeer:
        raise AdapterError(f"{NOT_KNOWN}; or the server has no key of that type", permanent=True) from None
    except FileNotFoundError:
        raise AdapterError("the folder in 'path' does not exist: create it or fix the path", permanent=True) from None
    except PermissionError:
        raise AdapterError("access to 'path' denied: fix its permissions, or set 'after: keep'", permanent=True) from None
    except (paramiko.SSHException, EOFError, OSError) as error:
        raise AdapterError(f"the server cannot be reached, or the connection was lost ({_why(error)})") from None


def _why(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return errno.errorcode.get(number, type(error).__name__) if isinstance(number, int) else type(error).__name__


def _server(options: Mapping[str, Any]) -> SftpServer:
    missing = [name for name in ("host", "user", "host_key") if not options.get(name)]
    if missing:
        raise ValueError(f"needs the setting {missing[0]!r}")
    if not (options.get("private_key") or options.get("password")):
        raise ValueError("needs 'private_key' or 'password'")
    password, pinned = str(options.get("password") or ""), options["host_key"]
    return SftpServer(
        str(options["host"]),
        int(options.get("port") or PORT),
        str(options["user"]),
        password,
        _private_key(str(options["private_key"]), password) if options.get("private_key") else None,
        tuple(_host_key(str(one)) for one in ([pinned] if isinstance(pinned, str) else pinned)),
        float(options.get("timeout") or TIMEOUT),
    )


def _host_key(text: str) -> HostKey:
    """Parses a line of ``known_hosts``, with or without the host name."""
    words = text.split()
    for kind, body in pairwise(words):
        if kind.startswith(("ssh-", "ecdsa-")):
            with suppress(binascii.Error):
                return HostKey(kind, base64.b64decode(body, validate=True))
    raise ValueError("host_key must be the server's public key, as 'ssh-keyscan' shows it: ssh-ed25519 AAAA…")


def _algorithms(known: Sequence[HostKey]) -> tuple[str, ...]:
    """The algorithms of the pinned keys, so that a server with several keys presents a pinned one."""
    return tuple(dict.fromkeys(name for one in known for name in (RSA if one.kind == "ssh-rsa" else (one.kind,))))


def _private_key(text: str, password: str) -> paramiko.PKey:
    for kind in KEYS:
        with suppress(paramiko.SSHException, ValueError):
            return kind.from_private_key(io.StringIO(text), password or None)
    raise ValueError("private_key cannot be read: it must be an OpenSSH or PEM key; an encrypted one needs 'password'")


def _dropped(found: paramiko.SFTPAttributes) -> DroppedFile:
    return DroppedFile(str(getattr(found, "filename", "")), found.st_size or 0, float(found.st_mtime or 0))
