"""The program is upgraded on disk while it runs: what it reads still counts as read by the release that it has loaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

SHOWN = "from adapters.mapping.program import program; print(program())"
UPGRADED_MEANWHILE = f"""
import sys
from pathlib import Path
from sync.config import load
from sync.runtime import Runtime
runtime = Runtime.open(load(Path(sys.argv[1])))
with Path("adapters/hl7v2/mapping.py").open("a") as file:
    file.write("# another release")
{SHOWN}
runtime.close()
"""


def test_a_process_keeps_the_release_that_it_was_started_with(tmp_path: Path, sqlite_url: str) -> None:
    """Also if the first record, or the first large load, comes after the upgrade. Otherwise the new release would take what this one read
    for its own reading, and a process that maps with the new one would pass for one of this."""
    config = tmp_path / "config.yaml"
    config.write_text(f"database: {sqlite_url}\nenterprises: {{clinic: {{}}}}\n")
    for part in ("adapters", "store", "sync"):
        shutil.copytree(part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    before, meanwhile, after = (run(tmp_path, script, str(config)) for script in (SHOWN, UPGRADED_MEANWHILE, SHOWN))
    assert before == meanwhile != after


def run(folder: Path, script: str, *arguments: str) -> str:
    """What a process writes that runs the program of this folder."""
    return subprocess.run([sys.executable, "-c", script, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout
