"""Who an operator is at Azure, and where: what the block, the Secret and its own pod come to."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace

import pytest
from azure.mgmt.compute.models import OSProfile
from tests.unit.providers.azure.site import IMAGE, INSTANCE, NAME, VMCLONE, Site, at_site, freeze_intent

from vmclone_operator.api.azure import AzureSettings
from vmclone_operator.domain.backend import BackendConfig, Consistency, PlanWish, Power, Shape
from vmclone_operator.domain.errors import ActionNeeded, CredentialsInvalid
from vmclone_operator.providers.azure import preflight
from vmclone_operator.providers.azure.backend import CLOUDS, TOKEN_FILE, AzureBackend, credential_of, subscription_of
from vmclone_operator.providers.azure.clones import Place
from vmclone_operator.providers.azure.sources import Seen, SeenDisk

ID = "33333333-3333-3333-3333-333333333333"
SUBNET = f"/subscriptions/{ID}/resourceGroups/g/providers/Microsoft.Network/virtualNetworks/lan/subnets/clones"
BLOCK = {"subscriptionID": ID, "resourceGroup": "clones", "location": "westeurope", "subnetID": SUBNET}
APPLICATION = {"tenantID": ID, "clientID": ID}
CASES: dict[str, tuple[Mapping[str, str], Mapping[str, bytes], bool, str]] = {
    "a secret of an application": (APPLICATION, {"client-secret": b"s3cret\n"}, False, "ClientSecretCredential"),
    "a secret, in a pod with a workload identity": (
        APPLICATION,
        {"client-secret": b"s3cret"},
        True,
        "ClientSecretCredential",
    ),
    "no Secret, in a pod with a workload identity": (APPLICATION, {}, True, "WorkloadIdentityCredential"),
    "no Secret, on a machine with an identity": ({}, {}, False, "ManagedIdentityCredential"),
    "no Secret, an identity that is named": ({"clientID": ID}, {}, False, "ManagedIdentityCredential"),
}


@pytest.mark.parametrize(("more", "secret", "webhook", "kind"), CASES.values(), ids=CASES.keys())
def test_who_the_operator_is(
    monkeypatch: pytest.MonkeyPatch, more: Mapping[str, str], secret: Mapping[str, bytes], webhook: bool, kind: str
) -> None:
    monkeypatch.delenv(TOKEN_FILE, raising=False)
    if webhook:
        monkeypatch.setenv(TOKEN_FILE, "/var/run/secrets/azure/tokens/azure-identity-token")
        monkeypatch.setenv("AZURE_TENANT_ID", ID)
        monkeypatch.setenv("AZURE_CLIENT_ID", ID)
    settings = AzureSettings.model_validate({**BLOCK, **more})

    async def made() -> str:
        config = BackendConfig(name="azure", settings={}, credentials=secret)
        credential = credential_of(config, settings, subscription_of(settings))
        try:
            return type(credential).__name__
        finally:
            await credential.close()

    assert asyncio.run(made()) == kind


REFUSED: dict[str, tuple[Mapping[str, str], Mapping[str, bytes], str]] = {
    "a Secret without its application": (
        {"tenantID": ID},
        {"client-secret": b"s"},
        "azure.tenantID and azure.clientID",
    ),
    "a Secret with other keys": (APPLICATION, {"password": b"s"}, "one of client-secret and client-certificate"),
    "an empty Secret, in place of which no other identity is used": (
        APPLICATION,
        {},
        "one of client-secret and client-certificate",
    ),
    "a Secret with both": (
        APPLICATION,
        {"client-secret": b"s", "client-certificate": b"c"},
        "one of client-secret and client-certificate",
    ),
    "a certificate that is none": (APPLICATION, {"client-certificate": b"text"}, "no PEM with a private key"),
}


@pytest.mark.parametrize(("more", "secret", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_secret_that_says_nothing_is_refused_with_what_it_needs(
    more: Mapping[str, str], secret: Mapping[str, bytes], says: str
) -> None:
    config = BackendConfig(name="azure", settings={**BLOCK, **more}, credentials=secret, secret="azure")
    with pytest.raises(CredentialsInvalid, match=says):
        asyncio.run(AzureBackend().open(config, wake=lambda _: None, fence=lambda: None))


def test_a_block_of_another_release_is_refused_by_its_field() -> None:
    config = BackendConfig(name="azure", settings={**BLOCK, "location": "West Europe"})
    with pytest.raises(ActionNeeded, match="location"):
        asyncio.run(AzureBackend().open(config, wake=lambda _: None, fence=lambda: None))


@pytest.mark.parametrize("cloud", CLOUDS)
def test_every_cloud_has_its_own_addresses(cloud: str) -> None:
    settings = AzureSettings.model_validate({**BLOCK, "cloud": cloud})
    assert subscription_of(settings).endpoint == CLOUDS[cloud][0]


PLACE = Place(location="westeurope", subnet_id=SUBNET)
VM = {"properties": {"storageProfile": {"osDisk": {"osType": "Linux"}}}}
SEEN = Seen(
    source_id="x",
    name="golden",
    location="westeurope",
    power=Power.ON,
    agent=True,
    disks=(),
    vm=VM,
)
WISH = PlanWish(replicas=1, agent=True)
CRASH = replace(WISH, consistency=Consistency.CRASH_CONSISTENT)
BOOT = SeenDisk(id="/boot", gib=32, sku="Premium_LRS")
ULTRA = SeenDisk(id="/ultra", gib=32, sku="UltraSSD_LRS", lun=0)
TWO = (BOOT, replace(BOOT, id="/data", lun=0))


def with_boot(**disk: object) -> dict[str, object]:
    """Return a VM whose boot disk has something of its own."""
    return {"properties": {"storageProfile": {"osDisk": {"osType": "Linux", **disk}}}}


WINDOWS = {"properties": {"storageProfile": {"osDisk": {"osType": "Windows"}}}}
FINDINGS = {
    "a source like any other": (SEEN, WISH, ""),
    "a region written as the portal shows it": (replace(SEEN, location="West Europe"), WISH, ""),
    "a source of another region": (replace(SEEN, location="norwayeast"), WISH, "CloneBackend of the source's region"),
    "Windows": (replace(SEEN, vm=WINDOWS), WISH, "only Linux"),
    "a silent agent": (replace(SEEN, agent=False), WISH, "walinuxagent"),
    "a silent agent, of a source that only gives the shape": (
        replace(SEEN, agent=False),
        replace(WISH, image="debian:debian-13:13-gen2:latest"),
        "",
    ),
    "an agent of a source that is off": (replace(SEEN, agent=False, power=Power.OFF), WISH, ""),
    "a pool": (SEEN, replace(WISH, pool="Premium_LRS"), "disk.pool"),
    "CPUs": (SEEN, replace(WISH, shape=Shape(cpus=4)), "template.size"),
    "a size": (SEEN, replace(WISH, shape=Shape(size="Standard_B2s")), ""),
    "labels": (SEEN, replace(WISH, labels={"example.com/team": "a"}), ""),
    "a label that is no name of a tag": (SEEN, replace(WISH, labels={"windows-key": "a"}), "windows-key"),
    "networks": (SEEN, replace(WISH, shape=Shape(networks=("lan",))), "azure.subnetID"),
    "labels that would be one tag": (
        SEEN,
        replace(WISH, labels={"a/team": "1", "A_team": "2", "other": "3"}),
        "the labels A_team, a/team would be one tag",
    ),
    "as many labels as fit": (SEEN, replace(WISH, labels={f"l{n}": "" for n in range(38)}), ""),
    "more labels than fit": (SEEN, replace(WISH, labels={f"l{n}": "" for n in range(39)}), "38 fit"),
    "an account that Azure makes": (SEEN, replace(WISH, image=IMAGE, user="dev"), ""),
    "an account that Azure does not make": (SEEN, replace(WISH, image=IMAGE, user="admin"), "home.user"),
    "the same account in a copy, which has it already": (SEEN, replace(WISH, user="admin"), ""),
    "snapshots of several disks of a source that runs": (replace(SEEN, disks=TWO), CRASH, "disk.consistency"),
    "snapshots of several disks of one that is off": (replace(SEEN, disks=TWO, power=Power.OFF), CRASH, ""),
    "a restore point of several disks": (
        replace(SEEN, disks=TWO),
        replace(WISH, consistency=Consistency.QUIESCED),
        "",
    ),
    "an ephemeral boot disk": (replace(SEEN, vm=with_boot(diffDiskSettings={"option": "Local"})), WISH, "ephemeral"),
    "an ephemeral boot disk that is not copied": (
        replace(SEEN, vm=with_boot(diffDiskSettings={"option": "Local"})),
        replace(WISH, image=IMAGE),
        "",
    ),
    "a confidential VM": (
        replace(SEEN, vm={"properties": {"securityProfile": {"securityType": "ConfidentialVM"}}}),
        WISH,
        "confidential",
    ),
    "a shared disk": (replace(SEEN, disks=(replace(BOOT, shared=True),)), WISH, "maxShares"),
    "an Ultra disk in a zone": (
        replace(SEEN, disks=(BOOT, ULTRA), vm=VM | {"zones": ["1"]}),
        WISH,
        "UltraSSD_LRS in a zone",
    ),
    "an Ultra disk where there are no zones": (replace(SEEN, disks=(BOOT, ULTRA)), WISH, ""),
}


def test_the_accounts_that_azure_does_not_make_are_those_of_microsofts_model() -> None:
    told = str(OSProfile.__doc__).split(":ivar admin_username:")[1].split("**Minimum-length")[0]
    listed = set(re.findall(r'"([a-z0-9_]+)"', told.split("**Disallowed values:**")[1]))
    assert len(listed) > 30
    assert all(preflight.is_no_account(user) for user in listed)
    assert not any(preflight.is_no_account(user) for user in ("dev", "azureuser", "admin3", "user6", "tests", ""))


@pytest.mark.parametrize(("seen", "wish", "says"), FINDINGS.values(), ids=FINDINGS.keys())
def test_what_is_in_the_way_is_found_before_anything_is_copied(seen: Seen, wish: PlanWish, says: str) -> None:
    found = list(preflight.findings(seen, wish, PLACE))
    assert len(found) == bool(says)
    assert all(says in finding.message for finding in found)


@pytest.mark.parametrize("consistency", [Consistency.QUIESCED, Consistency.CRASH_CONSISTENT])
def test_everything_that_is_billed_for_a_clone_has_its_labels_and_its_size_is_the_templates(
    consistency: Consistency,
) -> None:
    async def story(site: Site) -> None:
        labels = {"example.com/team": "a"}
        size = "Standard_D4s_v5"
        freeze = replace(freeze_intent(site), labels=labels, consistency=consistency)
        frozen = await site.until_done(lambda handle: site.session.freeze(replace(freeze, handle=handle)))
        intent = replace(site.intent(frozen_handle=frozen.handle), labels=labels, shape=Shape(size=size))
        await site.until_done(lambda handle: site.session.start_clone(replace(intent, handle=handle)))
        ours = [tags for tags in site.world.inventory().values() if "vmclone-instance" in tags]
        assert len(ours) >= 5
        assert all(tags.get("example.com_team") == "a" for tags in ours)
        (vm,) = (one for one in site.world.of_kind("Microsoft.Compute/virtualMachines") if one.name == NAME)
        assert vm.properties["hardwareProfile"]["vmSize"] == size

    at_site(story, data_disks=0)


@pytest.mark.parametrize("size", ["", "Standard_D2s_v5"])
def test_an_image_for_a_source_of_another_backend_needs_a_size(size: str) -> None:
    wish = replace(WISH, image="debian:debian-13:13-gen2:latest")
    found = [finding.message for finding in preflight.findings(None, wish, replace(PLACE, size=size))]
    assert [("azure.size" in message) for message in found] == ([] if size else [True])


def test_frozen_points_of_vmclones_that_are_gone_are_leftovers_and_can_be_released() -> None:
    async def story(site: Site) -> None:
        await site.freeze()
        assert await site.session.find_leftovers(INSTANCE, [VMCLONE]) == []
        (left,) = await site.session.find_leftovers(INSTANCE, [])
        assert (left.owner.vmclone_uid, left.token) == (VMCLONE, "f1")
        assert await site.session.find_leftovers("another installation", []) == []
        await site.release()
        assert await site.session.find_leftovers(INSTANCE, []) == []

    at_site(story)
