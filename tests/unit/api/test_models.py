"""Reading an object: absent fields get the defaults of the reference, unknown ones are passed over."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from vmclone_operator.api.backend import CloneBackendSpec, CloneBackendStatus
from vmclone_operator.api.base import ApiModel
from vmclone_operator.api.replica import VMCloneReplicaStatus
from vmclone_operator.api.source import CloneSourceSpec, CloneSourceStatus
from vmclone_operator.api.vmclone import VMCloneSpec, VMCloneStatus

SOURCE: dict[str, Any] = {"backend": {"name": "lab"}, "vm": {"name": "golden-dev"}, "modes": ["Disk"]}


def test_the_smallest_vmclone_is_one_clone_with_all_defaults() -> None:
    spec = VMCloneSpec.model_validate({"source": {"name": "golden-dev"}})
    assert (spec.replicas, spec.session_prefix, spec.backend, spec.mode) == (1, None, None, None)
    assert (spec.paused, spec.access.authorized_keys, spec.rollout.max_in_flight) == (False, (), 5)
    assert (spec.disk.copy_, spec.disk.consistency) == ("Auto", "Quiesced")


def test_the_smallest_source_is_granted_to_nobody() -> None:
    spec = CloneSourceSpec.model_validate(SOURCE)
    assert (spec.home, spec.allowed_namespaces) == (None, None)
    assert (spec.limits.max_clones, spec.limits.max_replicas_per_clone) == (50, 20)


def test_the_smallest_libvirt_backend_uses_the_standard_port_pool_and_network() -> None:
    spec = CloneBackendSpec.model_validate({"libvirt": {"transport": "local"}})
    assert spec.libvirt is not None
    assert (spec.kind, spec.libvirt.service_port, spec.limits.max_in_flight) == ("libvirt", 16514, 10)
    assert (spec.libvirt.pool, spec.libvirt.network) == ("default", "default")


@pytest.mark.parametrize("status", [VMCloneStatus, VMCloneReplicaStatus, CloneSourceStatus, CloneBackendStatus])
def test_an_empty_status_is_not_seen_yet(status: type[ApiModel]) -> None:
    assert status.model_validate({}).model_dump()["observed_generation"] == -1


def test_a_field_of_a_newer_schema_is_passed_over() -> None:
    assert VMCloneSpec.model_validate({"source": {"name": "golden-dev"}, "notYet": 1}).replicas == 1


def test_a_vmclone_is_written_in_camel_case_and_read_back_the_same() -> None:
    manifest = {"source": {"name": "golden-dev"}, "sessionPrefix": "dev", "disk": {"copy": "Linked"}}
    spec = VMCloneSpec.model_validate(manifest)
    assert spec.model_dump(by_alias=True, exclude_unset=True) == manifest


def test_an_unknown_mode_is_an_error_and_never_a_default() -> None:
    with pytest.raises(ValidationError):
        VMCloneSpec.model_validate({"source": {"name": "golden-dev"}, "mode": "Magic"})
