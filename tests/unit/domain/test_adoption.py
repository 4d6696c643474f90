"""Whose VM is it? A wish takes only what is exactly its own, and says nothing of the rest."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmclone_operator.api.vmclone import VMCloneSpec
from vmclone_operator.domain import naming
from vmclone_operator.domain.adoption import Claim, made_from, matches
from vmclone_operator.domain.backend import Mode, ObservedClone, Power, Stamp

OLD, OLDER, NEW = "uid-old", "uid-older", "uid-new"
CLAIM = Claim(
    namespace="team-a", vmclone="dev", uid=NEW, prefix="dev", made_from="Disk of source golden-dev", recorded={}
)


def vm(ordinal: int = 1, session: str = "", *, uid: str = OLD, incarnation: str = "") -> ObservedClone:
    """Return a VM that the wish made in an earlier life."""
    incarnation = incarnation or f"{uid}/{ordinal}"
    stamp = Stamp(
        instance="i", namespace="team-a", vmclone="dev", vmclone_uid=uid, ordinal=ordinal, incarnation=incarnation
    )
    return ObservedClone(
        stamp=stamp,
        token="t",
        external_id=naming.clone_uuid(incarnation),
        vm_name=naming.vm_name(session or f"dev-{ordinal}", incarnation),
        complete=True,
        power=Power.ON,
        connected=True,
        agent=True,
        made_from=CLAIM.made_from,
    )


def of(clone: ObservedClone, **stamp: object) -> ObservedClone:
    return replace(clone, stamp=replace(clone.stamp, **stamp))  # type: ignore[arg-type]  # one field of several


STRANGE = {
    "of another namespace": of(vm(), namespace="team-b"),
    "of another VMClone": of(vm(), vmclone="other"),
    "of this very VMClone: it is looked after, or was left on purpose": of(vm(), vmclone_uid=NEW),
    "for a number that is not wanted": vm(7),
    "not finished": replace(vm(), complete=False),
    "of another source": replace(vm(), made_from="Disk of source golden-b"),
    "of another mode": replace(vm(), made_from="Clean of source golden-dev"),
    "of nobody knows what": replace(vm(), made_from=""),
    "with a name of its own": replace(vm(), vm_name="dev-1-000000"),
    "with another ordinal's session": vm(1, "dev-2"),
    "with the session that a single replica has, but not the first": vm(2, "dev"),
    "with another prefix": vm(1, "work-1"),
}


@pytest.mark.parametrize("clone", STRANGE.values(), ids=STRANGE.keys())
def test_a_vm_is_not_adopted(clone: ObservedClone) -> None:
    assert matches(CLAIM, [clone], [1, 2]) == {}


def test_vms_of_an_earlier_life_are_adopted_with_their_sessions() -> None:
    found = matches(CLAIM, [vm(3), vm(1, "dev"), vm(2)], [1, 2, 3])
    assert {n: match.session for n, match in found.items()} == {1: "dev", 2: "dev-2", 3: "dev-3"}


def test_a_session_that_was_recorded_is_the_only_one_that_counts() -> None:
    claim = replace(CLAIM, recorded={1: "dev-1"})
    assert matches(claim, [vm(1, "dev")], [1]) == {}
    assert matches(claim, [vm(1, "dev-1")], [1])[1].session == "dev-1"


def test_of_several_for_one_place_the_family_that_it_went_on_with_before_comes_first() -> None:
    family = [vm(1), vm(2), vm(3)]
    lone = vm(1, uid=OLDER)
    assert matches(CLAIM, [lone, *family], [1, 2, 3])[1].clone == family[0]
    assert matches(replace(CLAIM, went_on_with={OLDER}), [*family, lone], [1, 2, 3])[1].clone == lone


def test_the_choice_does_not_depend_on_the_order_of_a_list() -> None:
    twins = [vm(1), vm(1, incarnation="uid-old/again")]
    assert matches(CLAIM, twins, [1]) == matches(CLAIM, twins[::-1], [1])


def test_what_a_vm_was_made_from_is_said_in_words() -> None:
    by_source = VMCloneSpec.model_validate({"source": {"name": "golden-dev"}, "replicas": 1})
    by_session = VMCloneSpec.model_validate({"source": {"session": "dev-2"}, "replicas": 1})
    assert made_from(by_source, Mode.DISK) == CLAIM.made_from
    assert made_from(by_session, Mode.DISK) == "Disk of session dev-2"
