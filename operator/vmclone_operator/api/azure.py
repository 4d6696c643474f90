"""The block of a CloneBackend that names a resource group of an Azure subscription."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from vmclone_operator.api.base import ApiModel, cel, rules

_GUID = r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
_OptionalGuid = Annotated[str, Field(max_length=36, pattern=f"^$|{_GUID}")]
_NETWORK = r"^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Network"
_SUBNET = rf"{_NETWORK}/virtualNetworks/[^/]+/subnets/[^/]+$"
_SECURITY_GROUP = rf"{_NETWORK}/networkSecurityGroups/[^/]+$"
_ADDRESS = r"^https://[A-Za-z0-9]([-A-Za-z0-9.]{0,251}[A-Za-z0-9])?(:[1-9][0-9]{0,4})?$"
_OptionalAddress = Annotated[str, Field(max_length=270, pattern=f"^$|{_ADDRESS}")]


def _kept(field: str) -> str:
    return f"self.{field} == oldSelf.{field}"


def _of_the_subscription(field: str) -> str:
    return (
        f"!has(self.{field}) || self.{field} == ''"
        f" || self.{field}.lowerAscii().startsWith('/subscriptions/' + self.subscriptionID.lowerAscii() + '/')"
    )


def _not_link_local(field: str) -> str:
    return f"!has(self.{field}) || !self.{field}.startsWith('https://169.254.')"


class AzureSettings(ApiModel):
    """A resource group that clones are made in, as one application of Microsoft Entra ID."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                " && ".join(_kept(field) for field in ("subscriptionID", "resourceGroup", "location")),
                "subscriptionID, resourceGroup and location are immutable: the clones are there; create another"
                " CloneBackend",
            ),
            cel(
                _of_the_subscription("subnetID"),
                "subnetID needs a subnet of subscriptionID: a network interface and its subnet are in one subscription",
            ),
            cel(
                _of_the_subscription("networkSecurityGroupID"),
                "networkSecurityGroupID needs a security group of subscriptionID",
            ),
            cel(
                f"({_not_link_local('endpoint')}) && ({_not_link_local('authority')})",
                "endpoint and authority need addresses of Azure Stack: a link-local one gives a machine's own tokens",
            ),
            cel(
                "(has(self.endpoint) && self.endpoint != '') == (has(self.authority) && self.authority != '')",
                "write endpoint and authority together, for Azure Stack; for Azure itself leave both out and set cloud",
            ),
        )
    )

    subscription_id: Annotated[str, Field(alias="subscriptionID", max_length=36, pattern=_GUID)]
    """The subscription, as `az account show --query id` has it."""
    resource_group: Annotated[str, Field(max_length=90, pattern=r"^[-A-Za-z0-9._()]{0,89}[-A-Za-z0-9_()]$")]
    """The resource group that takes clones and frozen points; it must be there. A source may be in another one."""
    location: Annotated[str, Field(max_length=63, pattern=r"^[a-z][a-z0-9]*$")]
    """The region, for example westeurope: that of the subnet and of the sources."""
    subnet_id: Annotated[str, Field(alias="subnetID", max_length=512, pattern=_SUBNET)]
    """Id of the subnet that clones hang on."""
    network_security_group_id: Annotated[
        str, Field(alias="networkSecurityGroupID", max_length=512, pattern=f"^$|{_SECURITY_GROUP}")
    ] = ""
    """Id of the security group of a clone that is out of quarantine. Default: the rules of its subnet alone."""
    tenant_id: Annotated[_OptionalGuid, Field(alias="tenantID")] = ""
    """The tenant of the application; needed with credentials.secretRef."""
    client_id: Annotated[_OptionalGuid, Field(alias="clientID")] = ""
    """The application, or the user-assigned managed identity. Default: what the operator's pod or VM is given."""
    cloud: Literal["AzurePublic", "AzureUSGovernment", "AzureChina"] = "AzurePublic"
    """Which Azure (default `AzurePublic`)."""
    endpoint: _OptionalAddress = ""
    """Address of Resource Manager, for Azure Stack. Default: that of `cloud`."""
    authority: _OptionalAddress = ""
    """Address that gives tokens, together with `endpoint`. Default: that of `cloud`."""
    ca_bundle: Annotated[str, Field(max_length=16384)] = ""
    """PEM of the authority that signed their certificates. Default: the system's."""
    size: Annotated[str, Field(max_length=64, pattern=r"^$|^[A-Za-z][A-Za-z0-9_-]*$")] = ""
    """VM size of all clones, for example Standard_D2s_v5. Default: the source's."""
    quarantine: Literal["Strict", "AgentTraffic"] = "Strict"
    """What a clone may do before it has an identity of its own. Strict (default): nothing. AgentTraffic: it may connect
    to port 443 of AzureCloud, which is every tenant's public address in Azure."""
    requests_per_second: Annotated[int, Field(ge=1, le=100)] = 10
    """Calls of its API in a second (default 10)."""
