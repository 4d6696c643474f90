"""Opens sessions with Azure: what a CloneBackend's block, its Secret and the operator's own identity come to."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from azure.core.credentials_async import AsyncTokenCredential
from azure.identity.aio import (
    CertificateCredential,
    ClientSecretCredential,
    ManagedIdentityCredential,
    WorkloadIdentityCredential,
)
from pydantic import ValidationError

from vmclone_operator.api.azure import AzureSettings
from vmclone_operator.domain.backend import BackendConfig, Fence, Wake
from vmclone_operator.domain.errors import ActionNeeded, CredentialsInvalid
from vmclone_operator.providers.azure.clones import Place
from vmclone_operator.providers.azure.session import AzureSession, Subscription
from vmclone_operator.providers.opening import checked

CLIENT_SECRET, CERTIFICATE = "client-secret", "client-certificate"
TOKEN_FILE = "AZURE_FEDERATED_TOKEN_FILE"  # noqa: S105 - what the workload identity webhook names it
CLOUDS = {
    "AzurePublic": ("https://management.azure.com", "https://login.microsoftonline.com"),
    "AzureUSGovernment": ("https://management.usgovcloudapi.net", "https://login.microsoftonline.us"),
    "AzureChina": ("https://management.chinacloudapi.cn", "https://login.chinacloudapi.cn"),
}
"""Where Resource Manager and the login service are (azure-core and azure-identity, 1.40 and 1.27)."""


class AzureBackend:
    """Azure Resource Manager, spoken to by Microsoft's own clients. It tells no events."""

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> AzureSession:  # noqa: ARG002 - no events
        """Connect; raises BackendUnreachable, CredentialsInvalid, NotAuthorized."""
        try:
            settings = AzureSettings.model_validate(config.settings)
        except ValidationError as error:
            raise ActionNeeded(f"the azure block of CloneBackend {config.name} is invalid: {error}") from error
        with ExitStack() as files:
            where = subscription_of(settings, ca_file=_ca_file(settings, files))
            credential = credential_of(config, settings, where)
            session = AzureSession(where, credential, fence, forget=files.pop_all().close)
        return await checked(session)


def _ca_file(settings: AzureSettings, files: ExitStack) -> str:
    """Write the authority down: Microsoft's clients take it as a file."""
    if not settings.ca_bundle:
        return ""
    path = Path(files.enter_context(tempfile.TemporaryDirectory(prefix="vmclone-azure-"))) / "ca.pem"
    path.write_text(settings.ca_bundle, encoding="ascii")
    return str(path)


def subscription_of(settings: AzureSettings, *, ca_file: str = "") -> Subscription:
    """Return where clones go."""
    return Subscription(
        subscription_id=settings.subscription_id,
        resource_group=settings.resource_group,
        place=Place(
            location=settings.location,
            subnet_id=settings.subnet_id,
            group_id=settings.network_security_group_id,
            size=settings.size,
            agent_traffic=settings.quarantine == "AgentTraffic",
        ),
        endpoint=settings.endpoint or CLOUDS[settings.cloud][0],
        ca_file=ca_file,
        requests_per_second=settings.requests_per_second,
    )


def credential_of(config: BackendConfig, settings: AzureSettings, where: Subscription) -> AsyncTokenCredential:
    """Return who we are: the Secret's application; without a Secret the pod's workload identity, or the VM's own."""
    options: dict[str, Any] = {"authority": settings.authority or CLOUDS[settings.cloud][1]}
    if settings.authority:
        options["disable_instance_discovery"] = True  # Microsoft's list does not know it
    if where.ca_file:
        options["connection_verify"] = where.ca_file
    if config.secret or config.credentials:  # a Secret that is named and empty is no word for the pod's own identity
        return _of_secret(config, settings, options)
    if os.environ.get(TOKEN_FILE):
        if settings.tenant_id:
            options["tenant_id"] = settings.tenant_id
        if settings.client_id:
            options["client_id"] = settings.client_id
        return WorkloadIdentityCredential(**options)
    return ManagedIdentityCredential(client_id=settings.client_id or None)


def _of_secret(config: BackendConfig, settings: AzureSettings, options: dict[str, Any]) -> AsyncTokenCredential:
    if not settings.tenant_id or not settings.client_id:
        raise CredentialsInvalid(f"CloneBackend {config.name} has a Secret: it needs azure.tenantID and azure.clientID")
    secret = config.credentials.get(CLIENT_SECRET, b"").decode(errors="replace").strip()
    certificate = config.credentials.get(CERTIFICATE, b"")
    if bool(secret) == bool(certificate):
        raise CredentialsInvalid(
            f"the Secret of CloneBackend {config.name} needs one of client-secret and client-certificate (PEM with key)"
        )
    if secret:
        return ClientSecretCredential(settings.tenant_id, settings.client_id, secret, **options)
    try:
        return CertificateCredential(settings.tenant_id, settings.client_id, certificate_data=certificate, **options)
    except ValueError as error:
        raise CredentialsInvalid(
            f"client-certificate in the Secret of CloneBackend {config.name} is no PEM with a private key: {error}"
        ) from error
