"""The Job of a copy may do nothing but copy, and shows nothing of a user."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest

from vmclone_operator.homecopy.job import CopyJob, Host, Transfer, parse_job
from vmclone_operator.homecopy.job_manifest import (
    CopyOwner,
    PodSettings,
    copy_name,
    job_manifest,
    secret_manifest,
)
from vmclone_operator.homecopy.pod_place import read_place

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA"
OWNER = CopyOwner(
    vmclone="dev", vmclone_uid="uid-1", ordinal=2, incarnation="0b0e6c1e-7d5c-4a77-9f6a-1c2d3e4f5a6b", attempt=3
)
SETTINGS = PodSettings(namespace="vmclone-system", image="example/home-copy:1")
SOURCE = Host(address="10.0.0.1", port=22, user="dev", host_keys=(HOST_KEY,))
CLONE = Host(address="10.0.0.2", port=22, user="dev", host_keys=(HOST_KEY,))
JOB = CopyJob(source=SOURCE, clone=CLONE, excludes=("*.iso",), timeout_seconds=600)


def pod(job: CopyJob) -> dict[str, Any]:
    spec: dict[str, Any] = job_manifest(OWNER, SETTINGS, job)["spec"]["template"]["spec"]
    return spec


def test_pod_security_restricted_admits_it() -> None:
    container = pod(JOB)["containers"][0]["securityContext"]
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert not container["allowPrivilegeEscalation"]
    assert container["readOnlyRootFilesystem"]
    assert pod(JOB)["securityContext"]["runAsNonRoot"]
    assert pod(JOB)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {next(iter(set(volume) - {"name"})) for volume in pod(JOB)["volumes"]} == {"secret", "emptyDir"}


def test_it_has_no_token_and_one_attempt_in_limited_time() -> None:
    job = job_manifest(OWNER, SETTINGS, JOB)
    assert pod(JOB)["automountServiceAccountToken"] is False
    assert (job["spec"]["backoffLimit"], job["spec"]["activeDeadlineSeconds"]) == (0, 660)


def test_private_files_live_in_memory() -> None:
    volumes = {volume["name"]: volume for volume in pod(JOB)["volumes"]}
    assert volumes["private"]["emptyDir"]["medium"] == "Memory"


def test_only_a_staged_copy_has_a_staging_volume() -> None:
    staged = CopyJob(source=SOURCE, clone=CLONE, transfer=Transfer.STAGED)
    assert [volume["name"] for volume in pod(JOB)["volumes"]] == ["job", "private"]
    assert [volume["name"] for volume in pod(staged)["volumes"]] == ["job", "private", "staging"]


PLACE: dict[str, Any] = {
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "2Gi"}},
    "imagePullSecrets": ["registry"],
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "copies", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "low",
    "runtimeClassName": "kata",
    "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["golden.example"]}],
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["192.0.2.53"]},
}


def placed(document: dict[str, Any]) -> dict[str, Any]:
    settings = replace(SETTINGS, place=read_place(json.dumps(document)))
    spec: dict[str, Any] = job_manifest(OWNER, settings, JOB)["spec"]["template"]["spec"]
    return spec


def test_the_pod_runs_where_the_administrator_says_and_can_do_no_more_there() -> None:
    spec, usual = placed(PLACE), pod(JOB)
    assert spec["containers"][0].pop("resources") == PLACE["resources"]
    del usual["containers"][0]["resources"]
    names = PLACE.keys() - {"resources", "imagePullSecrets"}
    assert {name: spec.pop(name) for name in names} == {name: PLACE[name] for name in names}
    assert spec.pop("imagePullSecrets") == [{"name": "registry"}]
    assert spec == usual


def test_what_the_administrator_leaves_empty_stays_as_it_is() -> None:
    assert placed({name: type(value)() for name, value in PLACE.items()}) == pod(JOB)
    assert pod(JOB)["containers"][0]["resources"]["limits"] == {"cpu": "2", "memory": "512Mi"}


def job_of(document: dict[str, Any]) -> dict[str, Any]:
    settings = replace(SETTINGS, place=read_place(json.dumps(document)))
    job: dict[str, Any] = job_manifest(OWNER, settings, JOB)
    return job


def test_the_pods_have_labels_and_annotations_of_the_administrator_beside_ours() -> None:
    job, usual = job_of({"podLabels": {"cost": "copies"}, "podAnnotations": {"mesh": "off"}}), job_of({})
    meta = job["spec"]["template"]["metadata"]
    assert meta["labels"] == {**usual["spec"]["template"]["metadata"]["labels"], "cost": "copies"}
    assert meta["annotations"] == {"mesh": "off"}
    assert job["metadata"] == usual["metadata"], "what the operator finds its Jobs by stays as it is"


def test_a_finished_job_stays_as_long_as_the_administrator_says() -> None:
    assert job_of({"ttlSecondsAfterFinished": 600})["spec"]["ttlSecondsAfterFinished"] == 600
    assert job_of({})["spec"]["ttlSecondsAfterFinished"] == 3600


def test_ids_are_left_to_a_cluster_that_chooses_them_and_never_root() -> None:
    left = placed({"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": 7}})["securityContext"]
    assert left == {"fsGroup": 7, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


BAD_PLACES = {
    "a copy that runs as root": ('{"podSecurityContext": {"runAsUser": 0}}', "runAsUser: 0; write an id from 1"),
    "a user that is yes": ('{"podSecurityContext": {"runAsUser": true}}', "write an id from 1"),
    "more rights": ('{"podSecurityContext": {"runAsNonRoot": false}}', "has runAsNonRoot; write only runAsUser"),
    "a label that the operator sets": ('{"podLabels": {"vmclone.dev/ordinal": "1"}}', "which the operator sets"),
    "a label that is a number": ('{"podLabels": {"cost": 1}}', "put quotes around numbers"),
    "a receipt that is gone at once": ('{"ttlSecondsAfterFinished": 0}', "write 300 or more"),
    "no JSON": ("{", "this is none"),
    "no object": ("[]", "one JSON object"),
    "a field that would loosen it": ('{"hostNetwork": true}', "hostNetwork is no field"),
    "a list where a map belongs": ('{"nodeSelector": ["ssd"]}', "nodeSelector of the pods of home copies is a map"),
    "a name where a list belongs": ('{"imagePullSecrets": "registry"}', "is a list of names"),
    "a map where a name belongs": ('{"imagePullSecrets": [{"name": "registry"}]}', "is a list of names"),
    "a name where a toleration belongs": ('{"tolerations": ["copies"]}', "tolerations of .* is a list of maps"),
    "nothing where a toleration belongs": ('{"tolerations": [{"operator": "Exists"}, null]}', "is a list of maps"),
}


@pytest.mark.parametrize(("text", "complaint"), BAD_PLACES.values(), ids=BAD_PLACES.keys())
def test_a_place_that_is_none_is_refused_with_a_sentence(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        read_place(text)


def test_nothing_of_a_user_stands_in_the_job() -> None:
    text = json.dumps(job_manifest(OWNER, SETTINGS, JOB))
    for word in ("*.iso", "10.0.0.1", "10.0.0.2", HOST_KEY):
        assert word not in text


def test_the_secret_carries_the_job_that_the_relay_reads() -> None:
    secret = secret_manifest(OWNER, SETTINGS, JOB, source_key="s", clone_key="c")
    document = json.loads(base64.b64decode(secret["data"]["job.json"]))
    assert parse_job(document) == JOB
    assert secret["metadata"]["name"] == copy_name(OWNER)


def test_the_name_is_the_same_after_a_crash_and_new_for_every_attempt() -> None:
    assert copy_name(OWNER) == "vmclone-home-0b0e6c1e7d5c4a779f6a-3"


REFUSED: dict[str, dict[str, Any]] = {
    "an option for a user": {"source": {"user": "-oProxyCommand=x"}},
    "an option for an address": {"source": {"address": "-oProxyCommand=x"}},
    "two lines in a user": {"source": {"user": "dev\nProxyCommand x"}},
    "two lines in an address": {"clone": {"address": "a\nProxyCommand x"}},
    "no pinned key": {"clone": {"hostKeys": []}},
    "a marker before a host key": {"clone": {"hostKeys": ["@cert-authority * " + HOST_KEY]}},
    "a path out of the home": {"paths": ["a/../../b"]},
    "an absolute path": {"paths": ["/etc"]},
    "a stamp with a slash": {"refresh": "../x"},
    "a negative limit": {"bandwidthKiB": -1},
}


@pytest.mark.parametrize("why", REFUSED)
def test_relay_refuses(why: str) -> None:
    document = JOB.document()
    for key, value in REFUSED[why].items():
        document[key] = {**document[key], **value} if isinstance(value, dict) else value
    with pytest.raises(ValueError, match=r".{10}"):
        parse_job(document)
