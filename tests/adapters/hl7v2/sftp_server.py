"""An SFTP server for tests: paramiko's server on loopback, serving one local folder."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED

USER, PASSWORD = "sync", "an invented password"


class Door(paramiko.ServerInterface):
    """Authenticates one user, by password or by key."""

    def __init__(self, key: paramiko.PKey | None) -> None:
        self._key = key

    def check_auth_password(self, username: str, password: str) -> int:
        return AUTH_SUCCESSFUL if (username, password) == (USER, PASSWORD) else AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        known = self._key is not None and key.asbytes() == self._key.asbytes()
        return AUTH_SUCCESSFUL if username == USER and known else AUTH_FAILED

    def get_allowed_auths(self, username: str) -> str:
        return "password,publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED


def _answered(work: Any) -> Any:
    try:
        return work()
    except OSError as error:
        return paramiko.SFTPServer.convert_errno(error.errno or 0)


class Files(paramiko.SFTPServerInterface):
    """SFTP version 3 for a local folder."""

    def __init__(self, server: paramiko.ServerInterface, folder: Path, owner: Server) -> None:
        super().__init__(server)
        self._folder, self._owner = folder, owner

    def _at(self, path: str) -> Path:
        return self._folder / self.canonicalize(path).lstrip("/")

    def list_folder(self, path: str) -> Any:
        def found() -> list[paramiko.SFTPAttributes]:
            return [
                paramiko.SFTPAttributes.from_stat(entry.stat(follow_symlinks=False), entry.name) for entry in os.scandir(self._at(path))
            ]

        return _answered(found)

    def stat(self, path: str) -> Any:
        return _answered(lambda: paramiko.SFTPAttributes.from_stat(self._at(path).stat()))

    def lstat(self, path: str) -> Any:
        return _answered(lambda: paramiko.SFTPAttributes.from_stat(self._at(path).lstat()))

    def chattr(self, path: str, attr: Any) -> Any:
        paramiko.SFTPServer.set_file_attr(str(self._at(path)), attr)
        return paramiko.SFTP_OK

    def remove(self, path: str) -> Any:
        return _answered(lambda: self._at(path).unlink()) or paramiko.SFTP_OK

    def open(self, path: str, flags: int, attr: Any) -> Any:
        def opened() -> paramiko.SFTPHandle:
            handle = paramiko.SFTPHandle(flags)
            if flags & os.O_WRONLY:
                self._owner.wrote()
                handle.writefile = self._at(path).open("wb")  # type: ignore[attr-defined]
            else:
                handle.readfile = self._at(path).open("rb")  # type: ignore[attr-defined]
            return handle

        return _answered(opened)

    def mkdir(self, path: str, attr: Any) -> Any:
        return _answered(lambda: self._at(path).mkdir()) or paramiko.SFTP_OK

    def rename(self, oldpath: str, newpath: str) -> Any:
        if self._at(newpath).exists():
            return paramiko.SFTP_FAILURE
        self._owner.wrote()
        return _answered(lambda: self._at(oldpath).rename(self._at(newpath)) and None) or paramiko.SFTP_OK


class Server:
    """The server, which runs until closed. ``line`` is its public key in the form that a client pins.

    While ``failing`` it accepts no connection. With ``break_after`` it closes all connections before that many files are opened or renamed.
    """

    def __init__(self, folder: Path, host_key: paramiko.PKey, user_key: paramiko.PKey | None = None) -> None:
        self._folder, self._host_key, self._user_key = folder, host_key, user_key
        self.line = f"{host_key.get_name()} {host_key.get_base64()}"
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.failing, self.break_after = False, 0
        self.port: int = self._socket.getsockname()[1]
        self._transports: list[paramiko.Transport] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if self.failing:
                connection.close()
                continue
            transport = paramiko.Transport(connection)
            transport.add_server_key(self._host_key)
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files, self._folder, self)
            self._transports.append(transport)
            with suppress(paramiko.SSHException, EOFError, OSError):  # a client may disconnect at any time
                transport.start_server(server=Door(self._user_key))

    def wrote(self) -> None:
        """Called before a file is opened for writing or renamed."""
        self.break_after -= 1
        if self.break_after == 0:
            self.cut()
            raise OSError("cut")

    def cut(self) -> None:
        """Closes every connection abruptly."""
        for transport in self._transports:
            transport.close()

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)
        self.cut()


@contextmanager
def serving(folder: Path, host_key: paramiko.PKey, user_key: paramiko.PKey | None = None) -> Iterator[Server]:
    server = Server(folder, host_key, user_key)
    try:
        yield server
    finally:
        server.close()
