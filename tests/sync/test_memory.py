"""Available memory: the minimum of the process, its control group and the machine."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from sync import memory

MIB = 1024 * 1024


@pytest.fixture
def processes(tmp_path: Path) -> Path:
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:   {500 * 1024} kB\n")
    (tmp_path / "proc" / "self" / "cgroup").write_text("9:pids:/\n0::/system.slice/emr-sync.service\n")
    return tmp_path / "proc"


@pytest.mark.parametrize("group", ["system.slice/emr-sync.service", "."])
def test_the_control_group_counts_without_its_file_cache(processes: Path, tmp_path: Path, group: str) -> None:
    folder = tmp_path / "group" / group
    folder.mkdir(parents=True)
    (folder / "memory.max").write_text(f"{300 * MIB}\n")
    (folder / "memory.current").write_text(f"{290 * MIB}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {40 * MIB}\n")
    assert memory.available(processes, tmp_path / "group") == 50 * MIB


def test_a_control_group_without_limit_uses_the_machines_memory(processes: Path, tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("1\n")
    assert memory.available(processes, tmp_path) == 500 * MIB


def test_without_system_files_the_available_memory_is_unknown(tmp_path: Path) -> None:
    assert memory.available(tmp_path, tmp_path) is None


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells")
def test_the_limit_of_the_process_counts() -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    program = "import resource; from sync import memory; print(memory.available())"
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_AS, ({used + 4096 * MIB},) * 2); {program}"
    found = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=True)
    assert 0 < int(found.stdout) < used + 4096 * MIB
