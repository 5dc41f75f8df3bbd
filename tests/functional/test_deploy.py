"""What deploy/ contains fits the program: every metric exists, units and configurations are valid, and no test tool is installed.

Not tested here, for lack of the tools: building the image and starting the containers.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from sync.config.loading import inspect
from sync.config.whole import check
from sync.metrics import Metrics
from sync.runtime import ROLES

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
METRIC = re.compile(r"\bemr_sync_[a-z_]+\b")
LABELS = re.compile(r"\bby \(([a-z_, ]+)\)")
PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s\\;]+)", re.MULTILINE)
UNITS = sorted((DEPLOY / "systemd").glob("emr-sync*"))


def exposed() -> set[str]:
    """The names of all metrics."""
    return set(re.findall(r"^# TYPE (\S+) ", Metrics().text().decode(), re.MULTILINE))


def series() -> set[str]:
    """The same as Prometheus stores them: a histogram as three."""
    histograms = re.findall(r"^# TYPE (\S+) histogram$", Metrics().text().decode(), re.MULTILINE)
    return exposed() | {f"{name}_{part}" for name in histograms for part in ("bucket", "count", "sum")}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "monitoring" / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DEPLOY / "monitoring" / "grafana.json").read_text())["panels"]
    return found


def test_every_metric_of_the_rules_and_the_dashboard_exists() -> None:
    expressions = [rule["expr"] for rule in rules()] + [target["expr"] for panel in panels() for target in panel["targets"]]
    used = {name for one in expressions for name in METRIC.findall(one)}
    assert len(used) > 15
    assert used <= series()


def test_every_metric_is_on_the_dashboard_or_in_a_rule_and_in_the_documentation() -> None:
    shown = json.dumps(panels()) + json.dumps(rules())
    assert not [name for name in exposed() if name not in shown]
    documented = (ROOT / "docs" / "monitoring.md").read_text()
    assert not [name for name in exposed() if name not in documented]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_names_only_labels_that_it_has_and_a_page_that_exists(rule: dict[str, Any]) -> None:
    grouped = {label.strip() for labels in LABELS.findall(rule["expr"]) for label in labels.split(",")}
    named = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert named <= (grouped or {"instance"})
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / page).read_text(), re.MULTILINE)
    assert not anchor or anchor in {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}


def test_each_rule_has_a_test_in_which_it_fires() -> None:
    tests = yaml.safe_load((DEPLOY / "monitoring" / "alerts_test.yaml").read_text())["tests"]
    alone = {one["alertname"] for test in tests for one in test.get("alert_rule_test", []) if one.get("exp_alerts")}
    expected = [sample["labels"] for test in tests for one in test.get("promql_expr_test", []) for sample in one["exp_samples"]]
    together = {name for labels in expected for name in re.findall(r'alertname="(\w+)"', labels)}
    assert {rule["alert"] for rule in rules()} == alone | together


def test_the_rules_fire_when_they_should() -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed")
    done = subprocess.run([promtool, "test", "rules", "alerts_test.yaml"], cwd=DEPLOY / "monitoring", capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_accepts_the_units(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    program = Path(sys.executable).parent
    name = unit.name.replace("@.", "@work.")
    for one in UNITS:  # the timer needs its service
        (tmp_path / one.name.replace("@.", "@work.")).write_text(one.read_text().replace("/opt/emr-sync/bin", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / name)], capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "emr-sync" in line]
    assert (done.returncode, ours) == (0, [])


def test_the_serving_units_expose_little() -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(DEPLOY / "systemd" / "emr-sync.service")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:]


def test_the_unit_of_one_role_differs_from_that_of_all_only_in_the_role() -> None:
    one, all_roles = ((DEPLOY / "systemd" / name).read_text().splitlines() for name in ("emr-sync@.service", "emr-sync.service"))
    differing = {line.partition("=")[0] for line in set(one) ^ set(all_roles) if not line.startswith("#")}
    assert differing == {"Description", "EnvironmentFile", "ExecStart"}


def test_each_role_without_an_api_has_an_address_for_its_metrics() -> None:
    files = {one.stem: one.read_text() for one in (DEPLOY / "systemd" / "env").glob("*.env")}
    assert files.keys() == {*ROLES} - {"api"}
    addresses = [re.findall(r"^EMR_SYNC_METRICS=(127\.0\.0\.1:\d+)$", text, re.MULTILINE) for text in files.values()]
    assert len({one for (one,) in addresses}) == len(files)
    assert "EnvironmentFile=-/etc/emr-sync/%i.env" in (DEPLOY / "systemd" / "emr-sync@.service").read_text()


def test_the_image_runs_as_an_ordinary_user_without_build_or_test_tools() -> None:
    stages = (DEPLOY / "container" / "Containerfile").read_text().split("\nFROM ")
    build, image = stages[1], stages[2]
    assert "--require-hashes" in build
    assert "pip install" not in image
    assert "[test]" not in build
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", image, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", image, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = {word for line in re.findall(r"^COPY (?!--from)(.+)$", build, re.MULTILINE) for word in line.split()[:-1]}
    assert copied == {one.removeprefix("!") for one in ignored if one.startswith("!")}


def test_the_containers_can_write_only_where_they_must() -> None:
    compose = yaml.safe_load((DEPLOY / "container" / "compose.yaml").read_text())
    service = compose["services"]["emr-sync"]
    assert (service["read_only"], service["cap_drop"], service["user"]) == (True, ["ALL"], "10001:10001")
    assert all(one.startswith("127.0.0.1:") for one in service["ports"] if one.endswith(":8080"))
    assert compose["networks"]["inside"]["internal"]
    for one in compose["services"].values():
        assert set(one["secrets"]) <= set(compose["secrets"])
        assert "no-new-privileges:true" in one["security_opt"]


def test_the_configuration_of_the_containers_is_valid(tmp_path: Path) -> None:
    secrets = {"database-url": "postgresql+psycopg://emr_sync:x@database/emr_sync?sslmode=disable", "payload-key": "4b" * 32}
    text = (DEPLOY / "container" / "config.yaml").read_text()
    for name, content in secrets.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "config.yaml").write_text(text.replace("/run/secrets", str(tmp_path)))
    assert not [str(one) for one in inspect(tmp_path / "config.yaml", more=check).mistakes if not one.warning]


def test_an_installation_with_hashes_is_what_was_tested_and_has_no_test_tools() -> None:
    locked = (DEPLOY / "requirements.txt").read_text()
    ours = {name.lower().replace("_", "-"): version for name, version in PINNED.findall(locked)}
    tested = {name.lower().replace("_", "-"): version for name, version in PINNED.findall((ROOT / "constraints.txt").read_text())}
    assert {name: tested.get(name) for name in ours if name in tested} == {name: ours[name] for name in ours if name in tested}
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["test"]
    assert {re.split(r"[>=<\[]", one)[0] for one in extra} & set(ours) == {"httpx"}  # which litestar needs, too
    assert locked.count("--hash=sha256:") >= len(ours)
