"""Runs a tutorial as it is written: its files are created, its commands run in a shell, and what it shows is compared.

Fenced blocks of a page:

- ``console``: lines after ``$`` are commands, lines after ``>`` continue them, other lines are the output. A line ``…`` stands for any
  lines, ``…`` in a line for any text. Output that is not shown is not compared. Every command must succeed.
- ``console after``: the same, after what the page says in prose, which the test does.
- ``console terminal``: the same in a terminal of its own; the command goes on, and its output must appear.
- with a file name as second word: the content of that file.

Ports are replaced by free ones, so that tutorials can run beside whatever uses theirs. ``emr-sync`` is forked from a process that has its
imports (``forked``), which saves the second that each start takes.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from tests.functional.forked import FORKS

BLOCK = re.compile(r"^```(\w+)(?: ([\w./-]+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PORTS = ("8080", "2575", "8090")
CLIENT = Path(__file__).parents[2] / "clients" / "python"  # as if it was installed
PATIENCE = 200.0
"""Seconds after which a tutorial that hangs is ended."""
EMR_SYNC = """\
#!{python} -IS
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    asked = json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode()
    socket.send_fds(line, [len(asked).to_bytes(4, "big")], [1, 2])
    line.sendall(asked)
    sys.exit(int(line.recv(9) or 1))
"""


class Command(NamedTuple):
    """A command and the output that the page shows; empty if it shows none."""

    text: str
    shown: str


class Block(NamedTuple):
    """A fenced block: its language, the word after it, and its content."""

    language: str
    word: str
    content: str

    @property
    def commands(self) -> list[Command]:
        """The commands of a console."""
        found: list[Command] = []
        for line in self.content.splitlines(keepends=True):
            if line.startswith("$ "):
                found.append(Command(line[2:], ""))
            elif line.startswith("> "):
                found[-1] = Command(found[-1].text + line[2:], found[-1].shown)
            else:
                found[-1] = Command(found[-1].text, found[-1].shown + line)
        return found


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page."""
    return [Block(*(part or "" for part in found)) for found in BLOCK.findall(page)]


def pattern(shown: str) -> re.Pattern[str]:
    """A pattern for the output that a page shows. The width of columns does not matter."""
    lines = []
    for line in shown.splitlines():
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            words = [re.escape(word).replace("…", ".*?") for word in line.split()]
            lines.append(r"[ ]*" + "[ ]+".join(words) + r"[ ]*\n")
    return re.compile("".join(lines))


class Programs:
    """Forks ``emr-sync`` for the shells of a tutorial."""

    def __init__(self, folder: Path) -> None:
        self._address = str(folder / "line")
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self._address)
        self._server.listen()
        self._running: list[object] = []
        self.path = folder / "bin"
        self.path.mkdir()
        program = self.path / "emr-sync"
        program.write_text(EMR_SYNC.format(python=sys.executable, address=self._address))
        program.chmod(0o700)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._run, args=(line,), daemon=True).start()

    def _run(self, line: socket.socket) -> None:
        with line:
            size, streams, _, _ = socket.recv_fds(line, 4, 2)
            asked = b""
            while len(asked) < int.from_bytes(size, "big"):
                asked += line.recv(65_536)
            out, err = map(Connection, streams)
            process = FORKS.Process(target=_main, args=(*json.loads(asked), out, err), daemon=True)
            process.start()
            self._running.append(process)
            out.close()
            err.close()
            process.join()
            line.sendall(str(process.exitcode).encode())

    def close(self) -> None:
        """Ends everything that still runs."""
        self._server.close()
        for process in self._running:
            process.terminate()  # type: ignore[attr-defined]
            process.join(PATIENCE)  # type: ignore[attr-defined]


def _main(arguments: Sequence[str], folder: str, environment: Mapping[str, str], out: Connection, err: Connection) -> None:
    for number, stream in ((1, out), (2, err)):
        os.dup2(stream.fileno(), number)
    os.chdir(folder)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["emr-sync", *arguments]
    from sync.commands.cli import main

    main()


class Shell:
    """One terminal."""

    def __init__(self, folder: Path, path: Path) -> None:
        programs = f"{path}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {"PATH": programs, "PYTHONPATH": str(CLIENT), "HOME": str(folder), "COLUMNS": "200"}
        self._process = subprocess.Popen(
            ["bash", "--noprofile", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def lines(self) -> Iterator[str]:
        assert self._process.stdout is not None
        return iter(self._process.stdout.readline, "")

    def run(self, command: str) -> tuple[str, int]:
        """The output of a command, and its exit code."""
        self.write(f"{command}printf '@ended %s\\n' $?\n")
        shown = ""
        for line in self.lines():
            before, mark, code = line.partition("@ended ")
            shown += before
            if mark:
                return shown, int(code)
        raise AssertionError(f"the shell ended in {command!r} after:\n{shown}")

    def close(self) -> None:
        self._process.kill()
        with self._process:  # closes its streams
            self._process.wait()


class Tutorial:
    """A page that is followed in an empty folder."""

    def __init__(self, folder: Path, between: Callable[[], None] = lambda: None) -> None:
        """``between`` does what the page says in prose before a console ``after`` it."""
        self.folder, self._between = folder / "work", between
        self.folder.mkdir()
        self._programs = Programs(folder)
        self._ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self._shells = [Shell(self.folder, self._programs.path)]
        self._watchdog = threading.Timer(PATIENCE, self._end)
        self._watchdog.start()

    def follow(self, page: Path) -> None:
        """Does everything that the page shows, in order."""
        for block in blocks(page.read_text("utf-8")):
            if block.language != "console":
                if block.word:
                    (self.folder / block.word).write_text(self.here(block.content), "utf-8")
            elif block.word == "after":
                self._between()
                self._run_all(block)
            elif block.word == "terminal":
                self._start(block.commands[0])
            else:
                self._run_all(block)

    def _run_all(self, block: Block) -> None:
        for command in block.commands:
            self._run(command)

    def here(self, text: str) -> str:
        """The text with the ports of this run."""
        return re.sub(r"(?<=[: ])(?:" + "|".join(self._ports) + r")\b", lambda port: self._ports[port[0]], text)

    def _there(self, text: str) -> str:
        """The text with the ports of the page."""
        for port, free in self._ports.items():
            text = text.replace(free, port)
        return text

    def _run(self, command: Command) -> None:
        out, code = self._shells[0].run(self.here(command.text))
        assert code == 0, f"{command.text}{out}"
        if (config := self.folder / "config.yaml").exists():
            config.write_text(self.here(config.read_text()))
        if command.shown:
            out = self._there(out) if out.endswith("\n") else self._there(out) + "\n"
            assert pattern(command.shown).fullmatch(out), f"$ {command.text}{out}\nis not what the page shows:\n{command.shown}"

    def _start(self, command: Command) -> None:
        shell = Shell(self.folder, self._programs.path)
        self._shells.append(shell)
        shell.write(self.here(command.text))
        out = ""
        for line in shell.lines():
            out += self._there(line)
            if pattern(command.shown).search(out):
                return
        raise AssertionError(f"$ {command.text}{out}\nis not what the page shows:\n{command.shown}")

    def close(self) -> None:
        self._watchdog.cancel()
        self._end()

    def _end(self) -> None:
        self._programs.close()
        for shell in self._shells:
            shell.close()


def _free_ports(count: int) -> list[str]:
    opened = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    numbers = [str(one.getsockname()[1]) for one in opened]
    for one in opened:
        one.close()
    return numbers
