"""What a CloneBackend may say of an Azure subscription."""

from __future__ import annotations

from tests.integration.api.rows import ABSENT, Change, Row

ME, OTHER = "33333333-3333-3333-3333-333333333333", "44444444-4444-4444-4444-444444444444"
_NETWORK = f"/subscriptions/{ME}/resourceGroups/net/providers/Microsoft.Network"
SUBNET = f"{_NETWORK}/virtualNetworks/lan/subnets/clones"
GROUP: Change = {"subscriptionID": ME, "resourceGroup": "clones", "location": "westeurope", "subnetID": SUBNET}
WHO: Change = {"tenantID": ME, "clientID": OTHER}
SECRET: Change = {"spec.credentials": {"secretRef": {"name": "azure"}}}
STACK: Change = {"endpoint": "https://arm.stack.example", "authority": "https://login.stack.example:8443"}


def _block(more: Change) -> Change:
    return {"spec.fake": ABSENT, "spec.azure": {**GROUP, **more}}


def _row(more: Change, says: str, accepted: Change, at: str = "spec.azure") -> Row:
    """Return the row of a block with something more in it."""
    return Row(kind="CloneBackend", accepted=_block(accepted), refused=_block(more), at=at, says=says)


AZURE = {
    "azure beside another block": Row(
        kind="CloneBackend",
        accepted=_block({}),
        refused={"spec.azure": GROUP},
        at="spec",
        says="a backend needs exactly one block: libvirt, proxmox, azure or fake",
    ),
    "azure with a Secret of nobody": Row(
        kind="CloneBackend",
        accepted={**_block(WHO), **SECRET},
        refused={**_block({"tenantID": ME}), **SECRET},
        at="spec",
        says="azure with credentials.secretRef needs azure.tenantID and azure.clientID: whose secret it is",
    ),
    "a subscription by its name": _row(
        {"subscriptionID": "production"}, "should match", {"subscriptionID": ME}, "spec.azure.subscriptionID"
    ),
    "a region as the portal shows it": _row(
        {"location": "West Europe"}, "should match", {"location": "norwayeast"}, "spec.azure.location"
    ),
    "a subnet by its name": _row({"subnetID": "clones"}, "should match", {"subnetID": SUBNET}, "spec.azure.subnetID"),
    "a subnet of another subscription": _row(
        {"subnetID": SUBNET.replace(ME, OTHER)},
        "subnetID needs a subnet of subscriptionID: a network interface and its subnet are in one subscription",
        {"subnetID": SUBNET.replace("/net/", "/other/")},
    ),
    "a security group of another subscription": _row(
        {"networkSecurityGroupID": f"{_NETWORK}/networkSecurityGroups/lan".replace(ME, OTHER)},
        "networkSecurityGroupID needs a security group of subscriptionID",
        {"networkSecurityGroupID": f"{_NETWORK}/networkSecurityGroups/lan"},
    ),
    "an endpoint in the clear": _row(
        {**STACK, "endpoint": "http://arm.stack.example"}, "should match", STACK, "spec.azure.endpoint"
    ),
    "an endpoint where a machine's own tokens are": _row(
        {**STACK, "endpoint": "https://169.254.169.254"},
        "endpoint and authority need addresses of Azure Stack: a link-local one gives a machine's own tokens",
        STACK,
    ),
    "an endpoint without an authority": _row(
        {"endpoint": "https://arm.stack.example"},
        "write endpoint and authority together, for Azure Stack; for Azure itself leave both out and set cloud",
        {"cloud": "AzureChina"},
    ),
    "a cloud that there is none of": _row(
        {"cloud": "AzureMars"}, "Unsupported value", {"cloud": "AzureUSGovernment"}, "spec.azure.cloud"
    ),
    "a quarantine that there is none of": _row(
        {"quarantine": "None"}, "Unsupported value", {"quarantine": "AgentTraffic"}, "spec.azure.quarantine"
    ),
}
AZURE_UPDATES = {
    "the resource group of clones changes": Row(
        kind="CloneBackend",
        at="spec.azure",
        start=_block({}),
        refused=_block({"resourceGroup": "others"}),
        accepted=_block({"size": "Standard_D4s_v5", "requestsPerSecond": 20}),
        says="subscriptionID, resourceGroup and location are immutable: the clones are there; create another"
        " CloneBackend",
    ),
}
IMAGES = {
    "an image of too few parts": Row(
        kind="CloneSource",
        accepted={"spec.images": [{"backend": "azure", "volume": "Debian:debian-13:13-gen2:latest"}]},
        refused={"spec.images": [{"backend": "azure", "volume": "Debian:debian-13"}]},
        at="spec.images[0].volume",
        says="should match",
    ),
}
