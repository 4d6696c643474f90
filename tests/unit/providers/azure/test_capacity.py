"""A size that a region does not have, and a quota that does not hold the clones, are told before anything is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.doubles.arm.site import CLIENT
from tests.unit.providers.azure.site import IMAGE, Mode, Site, at_site

from vmclone_operator.domain.backend import Finding, PlanWish, Shape
from vmclone_operator.providers.azure.capacity import Quota, Size, of_quota, of_size, quotas_of, sizes_of

D2 = Size(name="Standard_D2s_v5", family="standardDSv5Family", vcpus=2)
REGION = "westeurope"
SIZE_LIST = "Microsoft.Compute/skus"
QUOTA_LIST = "Microsoft.Compute/locations/westeurope/usages"

QUOTAS = {
    "enough of both": (10, 10, ""),
    "just enough": (6, 6, ""),
    "the family is full": (100, 4, "the quota standardDSv5Family in westeurope has 4 of 4 left"),
    "the region is full": (5, 100, "the quota cores in westeurope has 5 of 5 left"),
}


@pytest.mark.parametrize(("region", "family", "says"), QUOTAS.values(), ids=QUOTAS.keys())
def test_three_clones_of_two_vcpus_need_six_of_each_quota(region: int, family: int, says: str) -> None:
    quotas = {
        "cores": Quota(name="cores", used=0, limit=region),
        "standarddsv5family": Quota(name="standardDSv5Family", used=0, limit=family),
    }
    found = [finding.message for finding in of_quota(D2, quotas, 3, REGION)]
    assert len(found) == bool(says)
    assert all(says in message and "need 6 vCPUs" in message for message in found)


def test_a_quota_that_azure_does_not_list_is_no_reason() -> None:
    assert list(of_quota(D2, {}, 1000, REGION)) == []


def test_more_used_than_allowed_leaves_nothing() -> None:
    quotas = {"cores": Quota(name="cores", used=12, limit=10)}
    (finding,) = of_quota(D2, quotas, 1, REGION)
    assert (finding.reason, "has 0 of 10 left" in finding.message) == ("InsufficientSpace", True)


def test_a_size_is_known_by_its_name_whatever_its_case() -> None:
    sizes = sizes_of(
        [
            {
                "resourceType": "virtualMachines",
                "name": "Standard_D2s_v5",
                "family": "standardDSv5Family",
                "capabilities": [{"name": "vCPUs", "value": "2"}, {"name": "vCPUsAvailable", "value": "1"}],
                "restrictions": [{"type": "Zone", "reasonCode": "NotAvailableForSubscription"}],
            },
            {"resourceType": "disks", "name": "Premium_LRS"},
        ]
    )
    assert sizes == {"standard_d2s_v5": replace(D2, vcpus=1)}
    assert list(of_size("STANDARD_D2S_V5", sizes, REGION)) == []


def test_quotas_are_read_as_azure_lists_them() -> None:
    listed = [{"unit": "Count", "currentValue": 4, "limit": 10, "name": {"value": "cores", "localizedValue": "Cores"}}]
    assert quotas_of(listed) == {"cores": Quota(name="cores", used=4, limit=10)}


async def preflight(site: Site, replicas: int = 1, *, image: str = "") -> Sequence[Finding]:
    source = await site.session.describe_source("golden")
    return await site.session.preflight(source, PlanWish(replicas=replicas, image=image))


@pytest.mark.parametrize("image", ["", IMAGE], ids=["Disk", "Clean"])
def test_azure_is_asked_before_anything_is_made(image: str) -> None:
    async def story(site: Site) -> None:
        site.world.quotas["standardDSv5Family"] = 7  # the source has 2 of them
        assert await preflight(site, 2, image=image) == ()
        (finding,) = await preflight(site, 3, image=image)
        assert finding.reason == "InsufficientSpace"
        assert "has 5 of 7 left" in finding.message

    at_site(story)


def test_a_clone_that_is_there_counts_as_used() -> None:
    async def story(site: Site) -> None:
        site.world.quotas["cores"] = 4
        frozen = await site.freeze()
        await site.clone(Mode.DISK, frozen.handle)
        (finding,) = await preflight(site)
        assert "the quota cores in westeurope has 0 of 4 left" in finding.message

    at_site(story)


@pytest.mark.parametrize("restricted", [True, False], ids=["not for this subscription", "not in the region"])
def test_a_size_that_can_not_be_had_is_named(restricted: bool) -> None:
    async def story(site: Site) -> None:
        if restricted:
            size = site.world.sizes["Standard_B2s"]
            site.world.sizes["Standard_B2s"] = replace(size, restricted="NotAvailableForSubscription")
        else:
            del site.world.sizes["Standard_B2s"]
        (finding,) = await preflight(site)
        assert finding.reason == "CapabilityMissing"
        assert "Standard_B2s" in finding.message
        assert ("NotAvailableForSubscription" in finding.message) is restricted

    at_site(story, size="Standard_B2s")


LOOKS = frozenset({"Microsoft.Compute/skus/read", "Microsoft.Compute/locations/usages/read"})


@pytest.mark.parametrize("lacking", ["", *sorted(LOOKS)])
def test_who_may_not_look_at_the_subscription_is_kept_from_nothing(lacking: str) -> None:
    async def story(site: Site) -> None:
        site.world.quotas["cores"] = 0
        others = {f"Microsoft.{kind}/read" for kind in ("Compute/virtualMachines", "Compute/disks")}
        others |= {"Microsoft.Network/networkInterfaces/read"}
        site.world.clients[CLIENT].rights = others | (LOOKS - {lacking})
        assert len(await preflight(site)) == (not lacking)

    at_site(story)


def test_the_long_list_of_sizes_is_read_once() -> None:
    async def story(site: Site) -> None:
        for _ in range(3):
            await preflight(site)
        calls = [call for call in site.server.calls if call.endswith((SIZE_LIST, QUOTA_LIST))]
        assert len(calls) == 2

    at_site(story)


@pytest.mark.parametrize(
    ("image", "size", "says"),
    [
        (
            "",
            "",
            "VirtualMachine Standard_D2s_v5 1, Disk Premium_LRS 30 GiB 3, NetworkInterface  1, NetworkSecurityGroup  1",
        ),
        (IMAGE, "Standard_B2s", "VirtualMachine Standard_B2s 1, Disk  1, NetworkInterface  1"),
    ],
    ids=["a copy has the size and the disks of its source", "a clean one has the template's size and one disk"],
)
def test_a_plan_names_what_each_clone_is_made_of(image: str, size: str, says: str) -> None:
    async def story(site: Site) -> None:
        source = await site.session.describe_source("golden")
        named = site.session.resources(source, PlanWish(replicas=3, image=image, shape=Shape(size=size)))
        assert ", ".join(f"{one.kind} {one.size} {one.count}" for one in named) == says

    at_site(story, data_disks=2)
