"""Names and ids are computed from the incarnation alone: the same after a crash, another after a rebuild."""

from __future__ import annotations

import re
import uuid

import pytest

from vmclone_operator.api.base import SESSION_PATTERN
from vmclone_operator.domain import naming

ME = "4f1d2b3c-0000-4000-8000-000000000001"
REBUILT = "4f1d2b3c-0000-4000-8000-000000000002"
OURS, THEIRS = "installation-1", "installation-2"


def test_the_same_incarnation_always_gets_the_same_ids() -> None:
    """Pinned: an operator upgrade that computed other ids would not find its own VMs again."""
    assert naming.clone_uuid(ME) == "54342fae-bc9f-548e-854d-c626515a7016"
    assert naming.mac_address(ME, 0) == "02:40:a4:f4:70:7b"
    assert naming.vm_name("dev-1", ME) == "dev-1-4f1d2b"
    assert naming.volume_prefix(OURS, ME) == "vmclone-216ee80d-4f1d2b3c000040008000000000000001-"
    assert naming.frozen_prefix(OURS, ME) == "vmclone-base-216ee80d-4f1d2b3c000040008000000000000001-"


def test_a_rebuilt_replica_gets_another_uuid_and_other_macs_and_volumes() -> None:
    assert naming.clone_uuid(ME) != naming.clone_uuid(REBUILT)
    assert naming.mac_address(ME, 0) != naming.mac_address(REBUILT, 0)
    assert naming.volume_prefix(OURS, ME) != naming.volume_prefix(OURS, REBUILT)


def test_a_vm_uuid_is_a_uuid_that_systemd_takes_for_a_machine_id() -> None:
    made = uuid.UUID(naming.clone_uuid(ME))
    assert (made.version, made.variant) == (5, uuid.RFC_4122)


def test_every_mac_is_locally_administered_and_unicast() -> None:
    for index in range(50):
        address = naming.mac_address(ME, index)
        assert re.fullmatch(r"02(:[0-9a-f]{2}){5}", address)
        first = int(address[:2], 16)
        assert (first & 0b10, first & 0b01) == (0b10, 0)


def test_4800_nics_do_not_collide() -> None:
    macs = {naming.mac_address(str(uuid.UUID(int=n)), index) for n in range(1200) for index in range(4)}
    assert len(macs) == 4800


def test_the_volumes_of_one_owner_are_never_taken_for_anothers() -> None:
    """A prefix is a stamp: none may begin another, nor a clone's a frozen point's, nor ours another installation's."""
    makers = (naming.volume_prefix, naming.frozen_prefix)
    prefixes = [f(of, uid) for f in makers for of in (OURS, THEIRS, "") for uid in (ME, REBUILT, "x", "")]
    for one in prefixes:
        assert [other for other in prefixes if other.startswith(one)] == [one]


LONGEST = "d" * 40


@pytest.mark.parametrize("session", ["d", "dev", f"{LONGEST}-100"])
def test_a_vm_name_is_a_hostname(session: str) -> None:
    name = naming.vm_name(session, ME)
    assert len(name) <= 63
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)


def test_the_longest_session_prefix_is_the_one_tested_above() -> None:
    assert re.fullmatch(SESSION_PATTERN, LONGEST)
    assert not re.fullmatch(SESSION_PATTERN, LONGEST + "d")


HOSTILE = {"no uuid": "x", "empty": "", "a path": "../../etc", "a shell word": "$(id)", "very long": "a" * 4096}


@pytest.mark.parametrize("uid", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_strange_uid_still_gives_plain_names(uid: str) -> None:
    assert re.fullmatch(r"vmclone-[0-9a-f]{8}-[0-9a-f]{32}-", naming.volume_prefix(uid, uid))
    assert re.fullmatch(r"dev-[0-9a-f]{6}", naming.vm_name("dev", uid))


def test_one_uuid_written_in_two_ways_is_one_incarnation() -> None:
    assert naming.volume_prefix(OURS, ME.upper()) == naming.volume_prefix(OURS, ME)


def test_a_replica_object_is_named_by_its_ordinal() -> None:
    assert naming.replica_name("dev", 12) == "dev-12"
