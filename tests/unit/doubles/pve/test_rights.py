"""Rights in the double: tokens with and without separation, propagation, pools, root alone."""

from __future__ import annotations

import pytest
from tests.doubles.pve.access import AccessEntry, Token
from tests.doubles.pve.world import Pool
from tests.unit.doubles.pve.clients import QEMU, Client, cluster

USER, OPERATOR = "vmclone@pve", "vmclone@pve!op"
CLONE = {"newid": 101, "full": 1}
STEPS = (
    ("/vms/100", "VM.Clone"),
    ("/vms/101", "VM.Allocate"),
    ("/storage/local", "Datastore.AllocateSpace"),
    ("/sdn/zones/localnetwork", "SDN.Use"),
)
REFUSALS = (
    "403 Permission check failed (/vms/100, VM.Clone)",
    "403 Permission check failed",
    "403 Permission check failed (/storage/local, Datastore.AllocateSpace)",
    "403 Permission check failed (/sdn/zones/localnetwork/vmbr0, SDN.Use)",
)


def operator(*, separated: bool = False) -> Client:
    client = cluster()
    client.world.access.users[USER] = ""
    client.world.access.tokens[OPERATOR] = Token(secret="secret", separated=separated)
    client.token = OPERATOR
    return client


@pytest.mark.parametrize("missing", range(len(STEPS)), ids=[f"{right} on {path}" for path, right in STEPS])
def test_a_clone_without_one_right_names_it(missing: int) -> None:
    client = operator()
    for number, (path, right) in enumerate(STEPS):
        if number != missing:
            client.world.access.grant(USER, path, right)
    assert client.refused("POST", f"{QEMU}/100/clone", **CLONE) == REFUSALS[missing]


def test_a_pool_gives_the_right_to_allocate_and_takes_the_clone_in() -> None:
    client = operator()
    client.world.pools["ours"] = Pool("ours")
    for path, right in (STEPS[0], *STEPS[2:], ("/pool/ours", "VM.Allocate"), ("/pool/ours", "VM.Audit")):
        client.world.access.grant(USER, path, right)
    client.task("POST", f"{QEMU}/100/clone", **CLONE, pool="ours")
    client.pass_time(60)
    assert client.world.pools["ours"].vms == {101}
    assert client.get(f"{QEMU}/101/config")["name"] == "Copy-of-VM-golden"


def test_a_separated_token_has_what_both_it_and_its_user_have() -> None:
    client = operator(separated=True)
    client.world.access.grant(USER, "/vms", "VM.Audit", "VM.PowerMgmt")
    assert client.refused("GET", f"{QEMU}/100/config") == "403 Permission check failed (/vms/100, VM.Audit)"
    client.world.access.grant(OPERATOR, "/vms", "VM.Audit", "VM.Clone")
    assert client.call("GET", f"{QEMU}/100/config").status == 200
    assert client.get("/access/permissions") == {"/vms": {"VM.Audit": 1}}


def test_a_deeper_entry_replaces_what_comes_from_above_and_one_that_does_not_propagate_stays_there() -> None:
    client = operator()
    client.world.access.grant(USER, "/", "VM.Audit")
    client.world.access.entries.append(AccessEntry(path="/vms/100", who=USER, role="NoAccess"))
    assert client.refused("GET", f"{QEMU}/100/config").startswith("403")
    client.world.access.entries.clear()
    client.world.access.grant(USER, "/vms", "VM.Audit", propagate=False)
    assert client.refused("GET", f"{QEMU}/100/config").startswith("403")


def test_whoever_has_no_right_does_not_learn_whether_a_vm_exists() -> None:
    client = operator()
    assert client.refused("GET", f"{QEMU}/999/config") == "403 Permission check failed (/vms/999, VM.Audit)"


def test_a_token_of_root_is_not_root() -> None:
    client = cluster()
    assert client.refused("PUT", f"{QEMU}/100/config", args="-x") == "500 only root can set 'args' config"
    assert client.refused("PUT", f"{QEMU}/100/config", lock="clone") == "500 only root can set 'lock' config"


def test_a_wrong_secret_is_answered_after_three_seconds() -> None:
    client = cluster()
    client.world.access.tokens["root@pam!other"] = Token(secret="right", expires=1)
    client.token = "root@pam!other"
    assert client.refused("GET", "/version") == "401 Authentication failed!"
    assert client.waited[-1] == 3
