"""Prometheus' own promtool takes the metrics and the alerts, and each alert fires when it should and not before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from tests.integration.chart.release import NAMESPACE, ROOT, USERS, apply, ask, do, ours, read
from tests.support.doc_commands import commands_of, run_as_typed

from vmclone_chart.rendered import render
from vmclone_operator.observe.observer import observer

pytestmark = pytest.mark.integration
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
LINES = sorted({line for page in RUNBOOKS for line in commands_of(page) if not line.startswith("kubectl vmclone ")})


def series(name: str, values: str, **labels: str) -> dict[str, str]:
    shown = ", ".join(f'{label}="{value}"' for label, value in {"namespace": NAMESPACE, **labels}.items())
    return {"series": f"{name}{{{shown}}}", "values": values}


RESULT = "controller_runtime_reconcile_total"
FIRES: dict[str, tuple[list[dict[str, str]], str, str]] = {
    "VMCloneNoLeader": ([series("leader_election_master_status", "1x5 0x200")], "5m", "8m"),
    "VMCloneBackendDown": ([series("vmclone_backend_up", "1x5 0x200", backend="lab")], "9m", "12m"),
    "VMCloneWatchStale": ([series("vmclone_watch_age_seconds", "0+60x200", kind="vmclone")], "20m", "30m"),
    "VMCloneClockSkewed": ([series("vmclone_clock_skew_seconds", "0x5 -90x200")], "9m", "12m"),
    "VMCloneInstallationConflict": ([series("vmclone_installation_conflict", "0x5 1x200")], "9m", "12m"),
    "VMCloneStuck": ([series("vmclone_vmclones", "1x200", ready="False", reason="AllFailed")], "59m", "61m"),
    "VMCloneDeletionStuck": ([series("vmclone_vmclones", "1x200", ready="False", reason="Deleting")], "59m", "61m"),
    "VMCloneCopyQueueLong": ([series("vmclone_homecopy_queued", "21x200")], "59m", "61m"),
    "VMCloneCopiesFailing": (
        [
            series("vmclone_homecopy_attempts_total", "0+2x200", backend="lab", result="CopyFailed"),
            series("vmclone_homecopy_attempts_total", "0+1x200", backend="lab", result="Copied"),
        ],
        "59m",
        "63m",
    ),
    "VMCloneOrphansFound": ([series("vmclone_orphans", "2x200", backend="lab", kind="VM")], "59m", "61m"),
    "VMCloneErrorBurst": (
        [
            series("controller_runtime_reconcile_errors_total", "0+2x200", controller="vmclone"),
            series(RESULT, "0+2x200", controller="vmclone", result="error"),
            series(RESULT, "0+1x200", controller="vmclone", result="success"),
        ],
        "14m",
        "18m",
    ),
    "VMCloneBug": ([series("controller_runtime_reconcile_panics_total", "0x5 1x200", controller="x")], "5m", "7m"),
}
"""By alert: what is measured each minute, when it is still silent, and when it fires."""
SILENT = {
    "a pause, an approval and a deletion are not stuck": [
        series("vmclone_vmclones", "1x200", ready="False", reason="Paused"),
        series("vmclone_vmclones", "1x200", ready="False", reason="AwaitingApproval"),
    ],
    "ready VMClones are not stuck": [series("vmclone_vmclones", "1x200", ready="True", reason="AllReady")],
    "another installation is not this one's business": [
        {"series": 'vmclone_backend_up{namespace="other", backend="lab"}', "values": "0x200"}
    ],
    "no orphans are found where none are": [series("vmclone_orphans", "0x200", backend="lab", kind="VM")],
}


@pytest.fixture(scope="module")
def promtool() -> str:
    return do(str(ROOT / "hack" / "lab"), "build", "promtool").split()[-1]


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the rules of the chart as Prometheus reads them: YAML, of which JSON is a part."""
    (rule,) = (d for d in render(["prometheusRule.enabled=true"]) if d["kind"] == "PrometheusRule")
    path = tmp_path_factory.mktemp("rules") / "rules.yaml"
    path.write_text(json.dumps(rule["spec"]), encoding="utf-8")
    return path


def firing(promtool: str, rules: Path, measured: list[dict[str, str]], expected: dict[str, dict[str, bool]]) -> str:
    """Ask promtool whether these alerts fire at these times; return what it complains about."""
    known = {alert["alert"]: alert for alert in json.loads(rules.read_text(encoding="utf-8"))["groups"][0]["rules"]}
    asked: list[dict[str, Any]] = [
        {
            "expr": f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)',
            "eval_time": moment,
            "exp_samples": [{"labels": "{}", "value": int(fires)}],
        }
        for name, moments in expected.items()
        for moment, fires in moments.items()
    ]
    assert expected.keys() <= known.keys()
    leads = [] if "VMCloneNoLeader" in expected else [series("leader_election_master_status", "1x200")]
    test = {"interval": "1m", "input_series": [*measured, *leads], "promql_expr_test": asked}
    path = rules.with_name("test.yaml")
    path.write_text(json.dumps({"rule_files": [rules.name], "tests": [test]}), encoding="utf-8")
    answer = ask(promtool, "test", "rules", str(path))
    return "" if answer.status == 0 else answer.text


def test_promtool_finds_nothing_wrong_with_the_metrics(promtool: str) -> None:
    text = generate_latest(observer(clock=time.monotonic, workers=1).registry).decode()
    answer = ask(promtool, "check", "metrics", stdin=text)
    assert (answer.status, answer.text) == (0, "")


def test_promtool_takes_the_rules(promtool: str, rules: Path) -> None:
    assert "12 rules found" in do(promtool, "check", "rules", str(rules))


@pytest.mark.parametrize("alert", FIRES)
def test_an_alert_fires_when_it_should_and_not_before(alert: str, promtool: str, rules: Path) -> None:
    measured, before, after = FIRES[alert]
    assert not firing(promtool, rules, measured, {alert: {before: False, after: True}})


def test_every_alert_is_tried(rules: Path) -> None:
    groups = json.loads(rules.read_text(encoding="utf-8"))["groups"]
    assert {rule["alert"] for group in groups for rule in group["rules"]} == FIRES.keys()


@pytest.mark.parametrize("measured", SILENT.values(), ids=SILENT.keys())
def test_no_alert_fires_when_nothing_is_wrong(measured: list[dict[str, str]], promtool: str, rules: Path) -> None:
    names = FIRES.keys() - {"VMCloneNoLeader"}
    assert not firing(promtool, rules, measured, {name: {"3h": False} for name in names})


@pytest.fixture(scope="module")
def something_to_look_at(installed: dict[str, str]) -> Iterator[None]:
    """Make the objects that the runbooks' commands name, and remove them: other tests count what is left."""
    assert installed
    backend = ours("CloneBackend", "runbook", {"libvirt": {"transport": "tls", "host": "192.0.2.1"}})
    backend["spec"]["credentials"] = {"secretRef": {"name": "hypervisor"}}
    assert apply(backend, ours("VMClone", "runbook", {"source": {"name": "nowhere"}, "replicas": 1})).status == 0
    assert read("vmclones", "-n", USERS)["items"]
    yield
    do("kubectl", "delete", "vmclone", "runbook", "-n", USERS, "--timeout=60s")
    do("kubectl", "delete", "clonebackend", "runbook", "--timeout=60s")


@pytest.mark.usefixtures("something_to_look_at")
@pytest.mark.parametrize("line", LINES)
def test_a_line_of_a_runbook_works_as_it_stands(line: str) -> None:
    typed = line.replace("NAMESPACE", USERS).replace("NAME", "runbook").replace("vmclone-system", NAMESPACE)
    assert run_as_typed(typed)
