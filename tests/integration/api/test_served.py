"""What the API server makes of our kinds: names, columns, defaults, the scale subresource, `kubectl explain`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.integration.api.rows import SMALLEST, changed
from tests.integration.api.server import Server, collection
from tests.support.cluster_cli import kubectl

from vmclone_operator.api import API_VERSION
from vmclone_operator.api.crds import KINDS, Kind
from vmclone_operator.api.vmclone import VMCloneSpec

pytestmark = pytest.mark.apiserver

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
STATUS: dict[str, dict[str, Any]] = {
    "VMClone": {
        "readyReplicas": 2,
        "summary": "2/3 ready",
        "mode": "Disk",
        "copy": {"actual": "Linked"},
        "source": {"backend": "lab"},
    },
    "VMCloneReplica": {
        "intent": {"vmName": "dev-1-0a1b2c"},
        "state": "Ready",
        "percent": 100,
        "guest": {"addresses": ["10.90.1.7", "fd00::7"]},
    },
    "CloneSource": {"power": "On"},
    "CloneBackend": {"version": "9.0.0"},
}
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "AllReady",
    "message": "",
    "observedGeneration": 1,
    "lastTransitionTime": "2026-01-02T03:04:05Z",
}
ROWS = {
    "VMClone": {
        "Source": "golden-dev",
        "Desired": 1,
        "Ready": 2,
        "Status": "2/3 ready",
        "Mode": "Disk",
        "Copy": "Linked",
        "Backend": "lab",
    },
    "VMCloneReplica": {
        "Clone": "dev-1-0a1b2c",
        "Session": "dev-1",
        "State": "Ready",
        "Address": "10.90.1.7",
        "Progress": 100,
    },
    "CloneSource": {
        "Backend": "lab",
        "VM": "golden-dev",
        "Power": "On",
        "Ready": "True",
        "Reason": "AllReady",
    },
    "CloneBackend": {"Ready": "True", "Version": "9.0.0", "Host": None, "Reason": "AllReady"},
}
WIDE = {
    "VMClone": {"Mode", "Copy", "Backend"},
    "VMCloneReplica": set(),
    "CloneSource": {"Reason"},
    "CloneBackend": {"Host", "Reason"},
}

Create = Callable[..., dict[str, Any]]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


@pytest.fixture
def create(server: Server, namespace: str) -> Iterator[Create]:
    """Create the smallest object of a kind, with changes; it is removed after the test."""
    made = []

    def make(kind: str, **change: Any) -> dict[str, Any]:
        manifest = changed(kind, change, namespace=namespace)
        made.append(manifest)
        answer = server.create(manifest)
        assert answer.status == 201, answer.body["message"]
        return manifest

    yield make
    for manifest in made:
        server.delete(manifest)


@every_kind
def test_a_new_object_is_its_manifest_and_not_seen_yet(server: Server, create: Create, kind: Kind) -> None:
    stored = server.get(create(kind.name))
    added = {"replicas": 1} if kind.name == "VMClone" else {}
    assert stored["spec"] == SMALLEST[kind.name] | added
    assert stored["status"] == {"observedGeneration": -1}


@every_kind
def test_a_user_cannot_bring_a_status_along(server: Server, namespace: str, create: Create, kind: Kind) -> None:
    manifest = create(kind.name)
    server.merge(manifest, {"status": {"observedGeneration": 7}})
    assert server.get(manifest)["status"] == {"observedGeneration": -1}
    assert server.merge(manifest, {"status": {"observedGeneration": 7}}, part="status").status == 200
    assert server.get(manifest)["status"] == {"observedGeneration": 7}
    assert server.get(changed(kind.name, {}, namespace=namespace))["metadata"]["generation"] == 1


@every_kind
def test_columns_show_what_people_ask_for(server: Server, create: Create, kind: Kind) -> None:
    manifest = create(kind.name)
    shown = {**STATUS[kind.name], "conditions": [READY]}
    assert server.merge(manifest, {"status": shown}, part="status").status == 200
    table = server.call("GET", collection(manifest), accept=TABLE).body
    columns = [(column["name"], column["priority"]) for column in table["columnDefinitions"]]
    row = next(row for row in table["rows"] if row["cells"][0] == manifest["metadata"]["name"])
    cells = {name: cell for (name, _), cell in zip(columns, row["cells"], strict=True) if name not in {"Name", "Age"}}
    assert cells == ROWS[kind.name]
    assert {name for name, priority in columns if priority} == WIDE[kind.name]


@every_kind
def test_short_name_and_category_are_served(server: Server, kind: Kind) -> None:
    resources = {item["name"]: item for item in server.call("GET", f"/apis/{API_VERSION}").body["resources"]}
    assert resources[kind.plural]["shortNames"] == [kind.short_name]
    assert resources[kind.plural]["categories"] == ["clones"]
    assert resources[kind.plural]["namespaced"] is (kind.scope == "Namespaced")


def test_kubectl_finds_our_kinds_by_short_name_and_category(create: Create) -> None:
    clone, made = create("VMClone"), create("VMCloneReplica")
    within = ("--namespace", clone["metadata"]["namespace"], "--output", "name")
    assert kubectl("get", "vmc", *within) == "vmclone.vmclone.dev/dev\n"
    assert kubectl("get", "vmclone", "dev", *within) == "vmclone.vmclone.dev/dev\n"
    listed = kubectl("get", "clones", *within).splitlines()
    assert {"vmclone.vmclone.dev/dev", f"vmclonereplica.vmclone.dev/{made['metadata']['name']}"} <= set(listed)


@pytest.mark.usefixtures("server")
def test_kubectl_explains_a_field_in_the_words_of_its_docstring() -> None:
    words = VMCloneSpec.model_fields["replicas"].description
    assert words
    assert words in kubectl("explain", "vmclone.spec.replicas")


def test_scale_reads_the_default_and_the_status(server: Server, create: Create) -> None:
    manifest = create("VMClone")
    assert server.get(manifest, part="scale")["spec"] == {"replicas": 1}
    status = {"replicas": 3, "selector": "vmclone.dev/vmclone-uid=7c2f"}
    server.merge(manifest, {"status": status}, part="status")
    assert server.get(manifest, part="scale")["status"] == status


def test_scale_writes_the_wish_within_its_bounds(server: Server, create: Create) -> None:
    manifest = create("VMClone")
    scale = server.get(manifest, part="scale")
    path = f"{collection(manifest)}/{manifest['metadata']['name']}/scale"
    assert server.call("PUT", path, body={**scale, "spec": {"replicas": 5}}).status == 200
    assert server.get(manifest)["spec"]["replicas"] == 5
    scale = server.get(manifest, part="scale")
    assert server.call("PUT", path, body={**scale, "spec": {"replicas": 101}}).status == 422
    assert server.get(manifest)["spec"]["replicas"] == 5
