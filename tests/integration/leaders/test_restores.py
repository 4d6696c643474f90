"""A cluster that lost its objects and got the wishes back: the operator finds the VMs, as the how-to says it does."""

from __future__ import annotations

import json
import signal

from tests.integration.leaders.conftest import Start
from tests.integration.leaders.operators import Place, seconds_until
from tests.support.cluster_cli import kubectl
from tests.support.doc_commands import ROOT, commands_of, run_as_typed

HOW_TO = ROOT / "docs" / "how-to" / "restore-from-a-backup.md"
KINDS = ("vmclonereplicas", "vmclones")


def vms(place: Place) -> set[str]:
    """Return the UUIDs of all VMs of ours."""
    return {uuid for uuid, machine in place.world["machines"].items() if machine["stamp"]}


def lose(place: Place) -> None:
    """Have the objects vanish without a word to their finalizers, as the loss of a cluster does."""
    free = json.dumps({"metadata": {"finalizers": None}})
    for kind in KINDS:
        for name in kubectl("get", kind, "-n", place.users, "-o", "name").split():
            kubectl("patch", name, "-n", place.users, "--type=merge", "-p", free)
    kubectl("delete", *(",".join(KINDS), "--all", "-n", place.users), "--wait=true", "--timeout=30s")


def test_a_restored_wish_finds_its_vms_and_the_how_to_shows_them(place: Place, start: Start) -> None:
    first = start("before")
    first.wait_for('"leading"')
    place.apply("dev", replicas=2)
    seconds_until("two clones are ready", lambda: place.is_ready("dev", 2), 60)
    before = vms(place)
    first.send(signal.SIGKILL)
    lose(place)
    second = start("before")  # the same name in the Lease
    place.apply("dev", replicas=2)
    names = {"team-a": place.users, "vmclone-system": place.namespace}
    told = [_typed(command, names) for command in commands_of(HOW_TO)]
    assert vms(place) == before
    assert not second.ended()
    assert told[0] == kubectl("get", "namespace", place.namespace, "-o", "jsonpath={.metadata.uid}")
    assert "dev-1" in told[2]
    assert "goes on with it" in told[2]
    assert "<none>" not in told[3]
    assert [line.split()[1] for line in told[4].splitlines() if place.namespace in line] == ["<none>"]


def _typed(command: str, names: dict[str, str]) -> str:
    for shown, real in names.items():
        command = command.replace(shown, real)
    return run_as_typed(command)
