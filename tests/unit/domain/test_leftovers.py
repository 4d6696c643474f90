"""A file's name tells whose it was; what is not exactly such a name is nobody's business."""

from __future__ import annotations

import pytest

from vmclone_operator.domain import naming
from vmclone_operator.domain.leftovers import as_in_names, belongs_to, frozen_leftover, volume_leftover

OURS, THEIRS = "installation-1", "installation-2"
ME = "4f1d2b3c-0000-4000-8000-000000000001"


def test_a_clones_files_are_one_leftover_of_its_incarnation() -> None:
    names = [f"{naming.volume_prefix(OURS, ME)}{rest}" for rest in ("t1-vda.qcow2", "t1-seed.iso", "t2-vda.qcow2")]
    found = {volume_leftover(OURS, name) for name in names}
    assert len(found) == 1
    leftover = found.pop()
    assert leftover is not None
    assert (leftover.owner.incarnation, leftover.owner.vmclone_uid) == (ME, "")
    assert naming.volume_prefix(OURS, leftover.owner.incarnation) == f"{leftover.name}-"


def test_a_frozen_point_is_a_leftover_of_its_vmclone_by_its_token() -> None:
    prefix = naming.frozen_prefix(OURS, ME)
    one, other = (frozen_leftover(OURS, f"{prefix}{token}-vda.off.qcow2", token) for token in ("f1", "f2"))
    assert one is not None
    assert other is not None
    assert (one.owner.vmclone_uid, one.owner.incarnation, one.token) == (ME, "", "f1")
    assert one.name != other.name


STRANGE = {
    "another installation's": f"{naming.volume_prefix(THEIRS, ME)}t1-vda.qcow2",
    "a frozen point": f"{naming.frozen_prefix(OURS, ME)}f1-vda.off.qcow2",
    "the prefix alone": naming.volume_prefix(OURS, ME),
    "an image": "debian-12.qcow2",
    "named like ours": "vmclone-golden.qcow2",
    "ours, with something before it": f"old-{naming.volume_prefix(OURS, ME)}t1-vda.qcow2",
}


@pytest.mark.parametrize("name", STRANGE.values(), ids=STRANGE.keys())
def test_any_other_file_is_no_clones(name: str) -> None:
    assert volume_leftover(OURS, name) is None


def test_a_clones_file_is_no_frozen_point() -> None:
    assert frozen_leftover(OURS, f"{naming.volume_prefix(OURS, ME)}t1-vda.qcow2", "t1") is None


@pytest.mark.parametrize("uid", [ME, "no uuid"])
def test_the_living_are_known_however_their_uids_are_written(uid: str) -> None:
    leftover = volume_leftover(OURS, f"{naming.volume_prefix(OURS, uid)}t1-vda.qcow2")
    assert leftover is not None
    assert belongs_to(leftover, as_in_names([uid.upper() if uid == ME else uid]))
    assert not belongs_to(leftover, as_in_names(["somebody else"]))
