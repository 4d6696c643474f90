"""The rights that an application lacks are named at once, with their scopes, before anything is made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.doubles.arm.site import CLIENT
from tests.unit.providers.azure.site import IMAGE, Site, at_site

from vmclone_operator.domain.backend import Consistency, Finding, PlanWish
from vmclone_operator.providers.azure.clones import Place
from vmclone_operator.providers.azure.rights import lacking, needed

ROLE = Path(__file__).parents[4] / "examples" / "azure-role.json"
ACTIONS = frozenset(json.loads(ROLE.read_text())["Actions"])
WRITE, READ = "Microsoft.Compute/disks/write", "Microsoft.Compute/disks/read"
PERMISSIONS = {
    "a role that names it": ([{"actions": [WRITE]}], [READ]),
    "another case": ([{"actions": [WRITE.upper(), READ.lower()]}], []),
    "everything of a provider": ([{"actions": ["Microsoft.Compute/*"], "notActions": []}], []),
    "everything that reads": ([{"actions": ["*/read"]}], [WRITE]),
    "everything but what a role leaves out": ([{"actions": ["*"], "notActions": ["*/disks/write"]}], [WRITE]),
    "what one role leaves out and another gives": (
        [{"actions": ["*"], "notActions": ["Microsoft.Compute/disks/*"]}, {"actions": [WRITE, READ]}],
        [],
    ),
    "no role at all": ([], [WRITE, READ]),
    "a name that begins so": (
        [{"actions": ["Microsoft.Compute/disks/writ", "Microsoft.Compute/disks"]}],
        [WRITE, READ],
    ),
    "a dot that is no wildcard": ([{"actions": ["MicrosoftxCompute/disks/write"]}], [WRITE, READ]),
}


@pytest.mark.parametrize(("given", "lack"), PERMISSIONS.values(), ids=PERMISSIONS.keys())
def test_a_right_lacks_when_no_role_gives_it(given: list[dict[str, list[str]]], lack: list[str]) -> None:
    assert list(lacking([WRITE, READ], given)) == lack


WISHES = {
    "a copy by a restore point": PlanWish(replicas=1, consistency=Consistency.QUIESCED),
    "a copy by snapshots": PlanWish(replicas=1, consistency=Consistency.CRASH_CONSISTENT),
    "a clean clone": PlanWish(replicas=1, image=IMAGE),
}


async def found(site: Site, wish: PlanWish) -> list[Finding]:
    return list(await site.session.preflight(await site.session.describe_source("golden"), wish))


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES.keys())
def test_nothing_lacks_to_the_role_of_the_how_to(wish: PlanWish) -> None:
    async def story(site: Site) -> None:
        site.world.clients[CLIENT].rights = set(ACTIONS)
        assert await found(site, wish) == []

    at_site(story, data_disks=0)


def test_all_rights_that_lack_are_named_at_once_with_the_scope_of_each() -> None:
    lack = {
        "Microsoft.Compute/disks/write",
        "Microsoft.Compute/restorePointCollections/write",
        "Microsoft.Network/virtualNetworks/subnets/join/action",
    }

    async def story(site: Site) -> None:
        site.world.clients[CLIENT].rights = set(ACTIONS - lack)
        group, subnet = await found(site, WISHES["a copy by a restore point"])
        assert (group.reason, subnet.reason) == ("NotAuthorized", "NotAuthorized")
        assert (
            "lacks Microsoft.Compute/disks/write, Microsoft.Compute/restorePointCollections/write on" in group.message
        )
        assert "/resourceGroups/lab: add" in group.message
        assert "subnets/join/action on" in subnet.message
        assert "/subnets/clones: add" in subnet.message
        assert len(await found(site, WISHES["a clean clone"])) == 2

    at_site(story)


def test_a_role_with_nothing_is_told_within_what_a_message_may_have() -> None:
    async def story(site: Site) -> None:
        looks = {"Microsoft.Authorization/permissions/read"}
        looks |= {f"Microsoft.{kind}/read" for kind in ("Compute/virtualMachines", "Compute/disks")}
        site.world.clients[CLIENT].rights = looks | {"Microsoft.Network/networkInterfaces/read"}
        findings = await found(site, WISHES["a copy by snapshots"])
        assert len(findings) == 3
        assert all(len(finding.message) < 1000 for finding in findings)
        assert " more on /subscriptions/" in findings[0].message

    at_site(story, data_disks=0)


def test_who_may_not_look_at_rights_is_kept_from_nothing() -> None:
    async def story(site: Site) -> None:
        site.world.clients[CLIENT].rights = set(ACTIONS - {"Microsoft.Authorization/permissions/read", WRITE})
        assert await found(site, WISHES["a clean clone"]) == []

    at_site(story)


@pytest.mark.parametrize("wish", WISHES.values(), ids=WISHES.keys())
def test_every_right_that_is_asked_for_is_in_the_role_of_the_how_to(wish: PlanWish) -> None:
    for actions in needed(None, wish, "/group", Place(location="x", subnet_id="/subnet", group_id="/nsg")).values():
        assert set(actions) <= ACTIONS
