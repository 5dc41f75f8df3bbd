"""Small disks, which can be filled."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOT_ALLOWED = "left out: this user may not mount a tmpfs"


def mounted(folder: Path, megabytes: int = 24) -> bool:
    """A small disk of its own, where this user may mount one."""
    return subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)], check=False).returncode == 0


def unmount(folder: Path) -> None:
    """No more of it."""
    subprocess.run(["umount", "-l", str(folder)], check=False)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path | None]:
    """One for the block; ``None`` where this user may not mount one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if not mounted(folder, megabytes):
            yield None
            return
        try:
            yield folder
        finally:
            unmount(folder)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Not a byte is free inside the block."""
    filler = folder / "filler"
    with filler.open("wb") as stream:
        try:
            while True:
                stream.write(bytes(1 << 16))
                stream.flush()
        except OSError:
            pass
    try:
        yield
    finally:
        filler.unlink()
