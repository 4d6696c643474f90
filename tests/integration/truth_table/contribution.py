"""The tests that a contribution to Argo CD needs, in its own form, made of our truth table.

`python -m tests.integration.truth_table.contribution` (with the environment of `hack/_env.sh`) writes them anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from tests.integration.truth_table import readers
from tests.integration.truth_table.readers import ROOT
from tests.integration.truth_table.rows import FINALIZER, ROWS, UID, Row

from vmclone_operator.api import API_VERSION
from vmclone_operator.engine.ledger.written import dumped

FOLDER = ROOT / "hack" / "argocd" / "resource_customizations" / "vmclone.dev"
HEALTH = "_"
HASH = "0f1e2d3c"
ANNOTATION = "vmclone.dev/approved-plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """The actions of a kind and what they are tried with."""

    kind: str
    names: tuple[str, ...]
    spec: dict[str, Any]
    offered: Mapping[str, tuple[dict[str, Any], dict[str, Any], set[str]]]
    """Name of the input -> spec, status, the actions that are offered there."""
    done: tuple[tuple[str, str, str], ...]
    """Action, input, output; Argo CD's harness takes annotations that only the result has for equal: no time here."""
    refused: tuple[tuple[str, str, str], ...]
    """Action, input, what it says."""

    @property
    def folder(self) -> str:
        """Return where they are below `FOLDER`."""
        return f"{self.kind}/actions"


VMCLONE = Actions(
    kind="VMClone",
    names=("approve", "pause", "resume", "retry", "sync-home"),
    spec={"replicas": 2, "source": {"name": "golden-dev"}},
    offered={
        "vmclone": ({}, {}, {"pause", "retry"}),
        "vmclone-paused": ({"paused": True}, {}, {"resume", "retry"}),
        "vmclone-resumed": ({"paused": False}, {}, {"pause", "retry"}),
        "vmclone-on-request": ({"homeCopy": {"refresh": "OnRequest"}}, {}, {"pause", "retry", "sync-home"}),
        "vmclone-planned": ({"plan": {"mode": "Manual"}}, {"plan": {"hash": HASH}}, {"approve", "pause", "retry"}),
        "vmclone-planned-before-a-change": (
            {"plan": {"mode": "Manual"}},
            {"plan": {"hash": HASH}, "observedGeneration": 2},
            {"pause", "retry"},
        ),
        "vmclone-approved": ({"plan": {"mode": "Manual"}}, {"plan": {"hash": HASH}}, {"pause", "retry"}),
    },
    done=(
        ("pause", "vmclone", "vmclone-paused"),
        ("resume", "vmclone-paused", "vmclone-resumed"),
        ("retry", "vmclone", "vmclone"),
        ("sync-home", "vmclone-on-request", "vmclone-on-request"),
        ("approve", "vmclone-planned", "vmclone-approved"),
    ),
    refused=(
        ("approve", "vmclone", "status.plan.hash is empty: there is no plan to approve"),
        (
            "approve",
            "vmclone-planned-before-a-change",
            "status.plan is of an earlier spec: wait until the operator has planned the present one",
        ),
        ("sync-home", "vmclone", "spec.homeCopy.refresh is not OnRequest: set it first"),
    ),
)
NOTHING_FAILED = "status.retry counts no failure: there is nothing to try again"
REPLICA = Actions(
    kind="VMCloneReplica",
    names=("retry",),
    spec={"ordinal": 1, "session": "dev-1", "vmCloneUID": f"{UID}0", "backend": "lab"},
    offered={
        "replica": ({}, {}, set()),
        "replica-failed": ({}, {"retry": {"step": "Clone", "failures": 3, "reason": "CloneFailed"}}, {"retry"}),
        "replica-asked-already": ({}, {"retry": {"step": "Clone", "handledRetryAt": "now"}}, set()),
    },
    done=(("retry", "replica-failed", "replica-failed"),),
    refused=(("retry", "replica", NOTHING_FAILED), ("retry", "replica-asked-already", NOTHING_FAILED)),
)
KINDS = {actions.kind: actions for actions in (VMCLONE, REPLICA)}


def document(row: Row) -> dict[str, Any]:
    """Return a VMClone in the row's state as the API server would show it."""
    meta: dict[str, Any] = {"name": "dev", "namespace": "team", "uid": UID + "0", "generation": 1}
    spec = {"source": {"name": "golden-dev"}, **row.spec}
    made: dict[str, Any] = {"apiVersion": API_VERSION, "kind": "VMClone", "metadata": meta, "spec": spec}
    made["status"] = {"observedGeneration": -1} if row.status is None else dumped(row.status(made))
    if row.changed:
        made["spec"] = {**spec, **row.changed}
        meta["generation"] = 2
    if row.deleting:
        meta |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [FINALIZER]}
    return made


def _asked(actions: Actions, name: str) -> dict[str, Any]:
    spec, status, _offered = actions.offered[name]
    meta: dict[str, Any] = {"name": "dev", "namespace": "team", "generation": 3}
    if name == "vmclone-approved":
        meta["annotations"] = {ANNOTATION: HASH}
    return {
        "apiVersion": API_VERSION,
        "kind": actions.kind,
        "metadata": meta,
        "spec": {**actions.spec, **spec},
        "status": {"observedGeneration": 3, **status},
    }


def _path(name: str) -> str:
    return f"testdata/{name}.yaml"


def contents() -> dict[str, str]:
    """Return every file of the tests by its path below `FOLDER`."""
    files: dict[str, Any] = {}
    tests = []
    for name, row in ROWS.items():
        stored = document(row)
        path = _path(re.sub(r"\W+", "-", name))
        verdict = readers.argo_cd(stored)
        health = {"status": verdict.status, "message": verdict.message}
        tests.append({"inputPath": path, "healthStatus": health})
        files[f"{HEALTH}/{path}"] = stored
    files[f"{HEALTH}/health_test.yaml"] = {"tests": tests}
    for actions in KINDS.values():
        files |= {f"{actions.folder}/{_path(name)}": _asked(actions, name) for name in actions.offered}
        files[f"{actions.folder}/action_test.yaml"] = _action_tests(actions)
    return {path: yaml.safe_dump(content, sort_keys=False, width=200) for path, content in files.items()}


def _action_tests(actions: Actions) -> dict[str, Any]:
    done = [
        {"action": action, "inputPath": _path(given), "expectedOutputPath": _path(result)}
        for action, given, result in actions.done
    ]
    refused = [
        {"action": action, "inputPath": _path(given), "expectedErrorMessage": message}
        for action, given, message in actions.refused
    ]
    offers = [{"inputPath": _path(name), "result": _offers(actions, name)} for name in actions.offered]
    return {"discoveryTests": offers, "actionTests": [*done, *refused]}


def _offers(actions: Actions, name: str) -> list[dict[str, Any]]:
    offered = actions.offered[name][2]
    return [{"name": action} if action in offered else {"name": action, "disabled": True} for action in actions.names]


def write() -> None:
    """Write the files."""
    for path, text in contents().items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
