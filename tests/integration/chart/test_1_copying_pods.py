"""The pod that copies a home is admitted where Pod Security is restricted; the operator may make and remove it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.chart.release import NAMESPACE, OPERATOR, ask, do, read

from vmclone_operator.homecopy.job import CopyJob, Host, Transfer
from vmclone_operator.homecopy.job_manifest import CopyOwner, PodSettings, copy_name, job_manifest, secret_manifest
from vmclone_operator.homecopy.pod_place import read_place

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("installed")]
OWNER = CopyOwner(vmclone="dev", vmclone_uid="u-1", ordinal=1, incarnation="0b0e6c1e-7d5c-4a77-9f6a-1c2d", attempt=1)
NOBODY = Host(address="127.0.0.1", port=9, user="dev", host_keys=("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA",))
JOB = CopyJob(source=NOBODY, clone=NOBODY, timeout_seconds=60)
NAME = copy_name(OWNER)
AS_OPERATOR = ("--as", OPERATOR, "-n", NAMESPACE)


PLACE = {
    "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "256Mi"}},
    "imagePullSecrets": ["registry"],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "copies", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "priorityClassName": "system-cluster-critical",
}


@pytest.fixture(scope="module")
def settings(images: dict[str, str]) -> PodSettings:
    return PodSettings(namespace=NAMESPACE, image=images["home-copy"])


@pytest.fixture(scope="module")
def ended(
    installed: dict[str, str], settings: PodSettings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """Make a copy whose source nobody listens at, as the operator makes it, and return its pod once it has ended."""
    assert installed
    keys = {name: new_key(tmp_path_factory.mktemp(name) / name) for name in ("source_key", "clone_key")}
    for document in (secret_manifest(OWNER, settings, JOB, **keys), job_manifest(OWNER, settings, JOB)):
        do("kubectl", "create", "-f", "-", *AS_OPERATOR, stdin=json.dumps(document))
    do("kubectl", "wait", "--for=condition=Failed", f"job/{NAME}", "-n", NAMESPACE, "--timeout=60s")
    yield json.loads(do("kubectl", "get", "pods", "-l", f"job-name={NAME}", *AS_OPERATOR, "-o", "json"))["items"][0]
    do("kubectl", "delete", "job", NAME, "--cascade=foreground", "--wait=false", *AS_OPERATOR)
    do("kubectl", "delete", "secret", NAME, "--wait=false", *AS_OPERATOR)


def new_key(path: Path) -> str:
    do("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path))
    return path.read_text(encoding="utf-8")


def create_pod(settings: PodSettings, job: CopyJob, **changes: object) -> tuple[int, str]:
    """Ask the API server whether it would take the pod of this copy."""
    template = job_manifest(OWNER, settings, job)["spec"]["template"]
    template["spec"]["containers"][0]["securityContext"] |= changes
    meta = {**template["metadata"], "name": NAME, "namespace": NAMESPACE}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"]}
    answer = ask("kubectl", "create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
    return answer.status, answer.text


@pytest.mark.parametrize("transfer", Transfer)
def test_restricted_pod_security_admits_a_copy(settings: PodSettings, transfer: Transfer) -> None:
    assert create_pod(settings, replace(JOB, transfer=transfer))[0] == 0


def test_the_api_server_takes_a_copy_that_has_a_place_of_its_own(settings: PodSettings) -> None:
    assert create_pod(replace(settings, place=read_place(json.dumps(PLACE))), JOB)[0] == 0


def test_restricted_pod_security_is_enforced_here(settings: PodSettings) -> None:
    status, text = create_pod(settings, JOB, allowPrivilegeEscalation=True)
    assert status != 0
    assert 'violates PodSecurity "restricted' in text


def test_a_copy_runs_in_its_image_with_no_token_and_leaves_a_receipt(ended: dict[str, Any]) -> None:
    state = ended["status"]["containerStatuses"][0]["state"]["terminated"]
    receipt = json.loads(state["message"])
    assert "onnection refused" in receipt["message"], "rsync, ssh and both keys were there; only the source was not"
    assert state["exitCode"] in (13, 14)
    volumes = ended["spec"]["volumes"]
    assert not [volume for volume in volumes if "projected" in volume], "a ServiceAccount's token is mounted"


def test_its_log_can_be_read_with_the_operators_rights(ended: dict[str, Any]) -> None:
    lines = do("kubectl", "logs", ended["metadata"]["name"], *AS_OPERATOR).splitlines()
    assert [json.loads(line)["phase"] for line in lines] == ["Scanning", "Ended"]


def test_the_operator_is_told_which_image_copies(images: dict[str, str]) -> None:
    containers = read("deployments", "-n", NAMESPACE)["items"][0]["spec"]["template"]["spec"]["containers"]
    assert f"--home-copy-image={images['home-copy']}" in containers[0]["args"]
