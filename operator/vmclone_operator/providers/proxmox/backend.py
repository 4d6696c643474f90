"""Opens sessions with Proxmox VE clusters."""

from __future__ import annotations

from pydantic import ValidationError

from vmclone_operator.api.proxmox import ProxmoxSettings
from vmclone_operator.domain.backend import BackendConfig, Fence, Wake
from vmclone_operator.domain.errors import ActionNeeded, CredentialsInvalid
from vmclone_operator.providers.opening import checked
from vmclone_operator.providers.proxmox.client import Client, Door
from vmclone_operator.providers.proxmox.session import ProxmoxSession
from vmclone_operator.providers.proxmox.site import Place
from vmclone_operator.providers.proxmox.translate import plain
from vmclone_operator.providers.seed import seed_image

TOKEN_ID, TOKEN_SECRET = "token-id", "token-secret"


class ProxmoxBackend:
    """Opens sessions with Proxmox VE clusters."""

    async def open(self, config: BackendConfig, *, wake: Wake, fence: Fence) -> ProxmoxSession:  # noqa: ARG002 - no events
        """Connect; raises BackendUnreachable, CredentialsInvalid, NotAuthorized with every right that lacks."""
        try:
            settings = ProxmoxSettings.model_validate(config.settings)
        except ValidationError as error:
            raise ActionNeeded(
                f"the proxmox block of CloneBackend {config.name} is invalid: {plain(str(error))}"
            ) from error
        session = ProxmoxSession(Client(_door(config, settings), fence=fence), place_of(settings), make_seed=seed_image)
        return await checked(session)


def _door(config: BackendConfig, settings: ProxmoxSettings) -> Door:
    """Return the way in; raises CredentialsInvalid for a Secret without a token."""
    name, secret = (
        config.credentials.get(key, b"").decode(errors="replace").strip() for key in (TOKEN_ID, TOKEN_SECRET)
    )
    if "!" not in name or not secret:
        raise CredentialsInvalid(
            f"the Secret of CloneBackend {config.name} needs token-id (user@realm!name) and token-secret"
        )
    return Door(
        endpoints=settings.endpoints,
        token_id=name,
        token_secret=secret,
        ca=settings.ca_bundle,
        fingerprint=settings.fingerprint,
        requests_per_second=settings.requests_per_second,
        burst=2 * settings.requests_per_second,
    )


def place_of(settings: ProxmoxSettings) -> Place:
    """Return where clones go."""
    return Place(
        first_vmid=settings.vm_id_range.start,
        last_vmid=settings.vm_id_range.end,
        nodes=settings.nodes,
        storage=settings.storage,
        seed_storage=settings.seed_storage,
        pool=settings.pool,
    )
