"""Mode Clean on real VMs: fresh machines with the source's home, its secrets left behind; and Disk clones scrubbed."""

from __future__ import annotations

from typing import Any

import pytest
from tests.e2e.cluster import condition, is_ready
from tests.e2e.figures import tell
from tests.e2e.machines import Starts, login_to_clone, login_to_source
from tests.e2e.planted import picture, secrets_in
from tests.e2e.story import Demo

pytestmark = pytest.mark.guest


def test_two_fresh_clones_are_ready_with_a_receipt(demo: Demo) -> None:
    assert [is_ready(replica) for replica in demo.fresh] == [True, True]
    for replica in demo.fresh:
        assert condition(replica, "HomeCopied")["reason"] == "Copied"
        receipt = replica["status"]["homeCopy"]
        assert receipt["files"] > 1000
        assert receipt["excluded"]["ssh-keys"] > 0
        tell(f"home copy: {receipt['files']} files, {receipt['bytes']} bytes, left out {receipt['excluded']}")


def test_ordinary_files_arrive_as_they_are(demo: Demo, source: dict[str, Any]) -> None:
    wanted = picture(login_to_source(source))
    assert len(wanted) > 1000
    for replica in demo.fresh:
        assert picture(login_to_clone(replica, source)) == wanted


def test_no_secret_of_any_family_arrives_in_a_fresh_clone(demo: Demo, source: dict[str, Any]) -> None:
    assert len(secrets_in(login_to_source(source))) >= 200
    for replica in demo.fresh:
        assert secrets_in(login_to_clone(replica, source)) == []


def test_no_secret_of_any_family_is_left_in_a_clone_of_the_disk(demo: Demo, source: dict[str, Any]) -> None:
    for replica in demo.replicas:
        assert secrets_in(login_to_clone(replica, source)) == []
        assert replica["status"]["scrub"]["files"] >= 200


def test_the_key_of_a_copy_is_gone_with_it(demo: Demo, source: dict[str, Any]) -> None:
    for replica in demo.fresh:
        assert "vmclone-home-copy" not in login_to_clone(replica, source).run("cat ~/.ssh/authorized_keys")


def test_every_fresh_clone_was_booted_once(demo: Demo, starts: Starts) -> None:
    assert [starts.of(replica["status"]["intent"]["vmName"]) for replica in demo.fresh] == [1, 1]
