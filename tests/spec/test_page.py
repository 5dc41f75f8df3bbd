"""The rendered page matches the tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.spec import render


def test_the_page_is_up_to_date() -> None:
    assert render.main(["--check"]) == 0


def test_a_stale_page_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(render, "PAGE", tmp_path / "decision-rules.md")
    assert render.main(["--check"]) == 1
    assert "is stale" in capsys.readouterr().err
    assert render.main([]) == 0
    assert render.main(["--check"]) == 0
