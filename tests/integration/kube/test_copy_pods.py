"""Why the pod of a home copy does not start, as the real Job controller and scheduler say it."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from tests.support.cluster_cli import kubectl, wait_until

from vmclone_operator.domain.home_copy import CopyJobView
from vmclone_operator.engine.jobs.copy_jobs import CopyJobs
from vmclone_operator.homecopy.job import CopyJob, Host
from vmclone_operator.homecopy.job_manifest import CopyOwner, PodSettings
from vmclone_operator.homecopy.pod_place import PodPlace
from vmclone_operator.kube.client import connect

TOLD_SECONDS = 60
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrwWh4ph63ffHIm34829InQtTHpY9Peqbi7JNeSfqGi"
HOST = Host(address="10.0.0.7", port=22, user="dev", host_keys=(KEY,))
WITHOUT_CPU = PodPlace(resources={"requests": {"cpu": "1m"}, "limits": {"memory": "64Mi"}})


@pytest.fixture
def namespace() -> Iterator[str]:
    """Return a namespace with a quota on `limits.cpu`, as platform teams have it."""
    if not os.environ.get("KUBECONFIG"):
        pytest.fail("KUBECONFIG is not set: run this as `hack/lab exec -- pytest tests/integration/kube`")
    name = f"copy-pods-{os.getpid()}-{time.time_ns()}"
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "compute", "namespace": name},
        "spec": {"hard": {"limits.cpu": "10"}},
    }
    kubectl("create", "namespace", name)
    kubectl("apply", "-f", "-", given=json.dumps(quota))
    path = "jsonpath={.status.hard}"
    wait_until("the quota counts", lambda: bool(kubectl("get", "quota", "compute", "-n", name, "-o", path)), 30)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def started(namespace: str, place: PodPlace) -> CopyJobView:
    """Make a copy's Job whose image nobody has; return what is told once anything is."""
    owner = CopyOwner(vmclone="dev", vmclone_uid="u", ordinal=1, incarnation="1-2", attempt=1)
    settings = PodSettings(namespace=namespace, image="nowhere.example.test/none:1", place=place)

    async def scenario() -> CopyJobView:
        client = await connect()
        try:
            jobs = CopyJobs(cluster=client, settings=settings, now=lambda: datetime.now(UTC))
            await jobs.start(owner, CopyJob(source=HOST, clone=HOST))
            until = time.monotonic() + TOLD_SECONDS
            view = await jobs.view(owner, with_log=False)
            while not view.trouble and time.monotonic() < until:
                await asyncio.sleep(1)
                view = await jobs.view(owner, with_log=False)
            return view
        finally:
            await client.close()

    return asyncio.run(scenario())


def test_a_pod_that_the_quota_refuses_is_told_in_the_api_servers_words(namespace: str) -> None:
    view = started(namespace, WITHOUT_CPU)
    assert (view.trouble, view.needs_a_person) == ("CopyPodRefused", True)
    assert "failed quota: compute: must specify limits.cpu" in view.message


def test_the_default_resources_pass_the_quota_and_what_comes_then_is_told(namespace: str) -> None:
    """Without a node nobody takes the pod; with one its Secret is not there, or its image."""
    view = started(namespace, PodPlace())
    assert view.trouble in {"CopyPodUnschedulable", "CopyImageNotPulled", "CopyPodNotStarted"}
