"""`kubectl vmclone plan -f` removes what it made to try a manifest, however it is ended.

A program in the place of kubectl answers as that does, and writes down what it was asked for.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

KUBECTL = r"""#!/usr/bin/env python3
import json, os, sys, time
folder = os.path.dirname(os.path.abspath(__file__))
words = [word for word in sys.argv[1:] if not word.startswith("--namespace")]
def asked(what):
    with open(os.path.join(folder, "asked"), "a") as file:
        file.write(what + "\n")
def waits(name):
    deadline = time.monotonic() + 120
    while not os.path.exists(os.path.join(folder, name)) and time.monotonic() < deadline:
        time.sleep(0.02)
wish = json.load(open(os.path.join(folder, "wish.json")))
verb = words[0]
if verb == "create" and "--dry-run=client" in words:
    print(json.dumps(wish, indent=1))
elif verb == "apply":
    print(json.dumps(wish))
elif verb == "auth":
    asked("may I " + words[2])
    sys.exit(os.path.exists(os.path.join(folder, "forbidden")))
elif verb == "create":
    sys.stdin.read()
    asked("create")
    waits("created")
    asked("created")
    print("vmclone.vmclone.dev/dev-plan-x7k2p")
elif verb == "get" and "--watch" in words:
    asked("watch")
    waits("never")
elif verb == "get":
    sys.exit("Error from server (NotFound): vmclones dev not found")
elif verb == "delete":
    asked("delete " + words[2])
    if os.path.exists(os.path.join(folder, "broken")):
        sys.exit("Unable to connect to the server")
"""
HEEDS_SIGNALS = """
import os, signal, sys
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Starts a program as a shell in a terminal does: the tests themselves may run where signals are ignored."""
WISH = {
    "apiVersion": "vmclone.dev/v1alpha1",
    "kind": "VMClone",
    "metadata": {"name": "dev"},
    "spec": {"source": {"name": "golden"}, "replicas": 1},
}
MADE = ["may I delete", "create", "created"]
PATIENCE_SECONDS = 120.0


class Cluster:
    """What answers in the place of kubectl."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "kubectl"
        program.write_text(KUBECTL)
        program.chmod(0o755)
        (folder / "wish.json").write_text(json.dumps(WISH))
        self._runs: list[subprocess.Popen[str]] = []

    def set(self, name: str) -> None:
        (self.folder / name).touch()

    @property
    def asked(self) -> list[str]:
        file = self.folder / "asked"
        return file.read_text().splitlines() if file.exists() else []

    def plan(self, *words: str, under: Sequence[str] = ()) -> subprocess.Popen[str]:
        argv = [
            sys.executable,
            "-c",
            HEEDS_SIGNALS,
            *under,
            sys.executable,
            "-m",
            "vmclone_kubectl",
            "plan",
            "-f",
            "dev.yaml",
            *words,
        ]
        path = f"{self.folder}{os.pathsep}{os.environ['PATH']}"
        run = subprocess.Popen(
            argv,
            env={**os.environ, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._runs.append(run)
        return run

    def wait_for(self, what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while what not in self.asked:
            assert time.monotonic() < deadline, self.asked
            time.sleep(0.02)

    def end(self) -> None:
        for name in ("created", "never"):
            self.set(name)
        for run in self._runs:
            if run.poll() is None:
                run.kill()
            run.communicate(timeout=PATIENCE_SECONDS)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_trial_is_removed_when_the_program_is_ended_while_it_waits(cluster: Cluster, number: signal.Signals) -> None:
    cluster.set("created")
    run = cluster.plan()
    cluster.wait_for("watch")
    os.killpg(run.pid, number)  # as a terminal does: whatever runs in front gets it
    run.communicate(timeout=PATIENCE_SECONDS)
    assert cluster.asked == [*MADE, "watch", "delete dev-plan-x7k2p"]
    assert run.returncode == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT], ids=lambda number: number.name)
def test_a_trial_whose_name_is_not_known_yet_is_removed_too(cluster: Cluster, number: signal.Signals) -> None:
    run = cluster.plan()
    cluster.wait_for("create")
    os.killpg(run.pid, number)
    cluster.set("created")
    run.communicate(timeout=PATIENCE_SECONDS)
    assert cluster.asked == [*MADE, "delete dev-plan-x7k2p"]
    assert run.returncode == 128 + number


def test_without_an_answer_it_is_removed_and_the_status_says_so(cluster: Cluster) -> None:
    cluster.set("created")
    run = cluster.plan("--timeout", "1")
    run.communicate(timeout=PATIENCE_SECONDS)
    assert (run.returncode, cluster.asked[-1]) == (124, "delete dev-plan-x7k2p")


def test_who_may_not_remove_a_trial_makes_none_and_reads_why(cluster: Cluster) -> None:
    cluster.set("forbidden")
    run = cluster.plan()
    _, told = run.communicate(timeout=PATIENCE_SECONDS)
    assert (run.returncode, cluster.asked) == (1, ["may I delete"])
    assert "you may not delete vmclones.vmclone.dev here" in told


def test_a_trial_that_cannot_be_removed_is_named_with_what_removes_it(cluster: Cluster) -> None:
    cluster.set("created")
    cluster.set("broken")
    run = cluster.plan("--timeout", "1")
    _, told = run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 1
    assert "Unable to connect to the server" in told
    assert "`kubectl delete vmclones dev-plan-x7k2p` removes it" in told


def test_a_signal_that_is_ignored_stays_ignored(cluster: Cluster) -> None:
    """The plan goes on after the terminal is gone."""
    cluster.set("created")
    run = cluster.plan("--timeout", "3", under=["nohup"])
    cluster.wait_for("watch")
    os.kill(run.pid, signal.SIGHUP)
    run.communicate(timeout=PATIENCE_SECONDS)
    assert run.returncode == 124
