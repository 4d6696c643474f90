"""The token endpoint: client credentials for a bearer token, as Microsoft Entra ID answers them.

azure-docs articles/active-directory/develop/v2-oauth2-client-creds-grant-flow.md: a form with grant_type, client_id,
client_secret and scope; errors are `{"error", "error_description", "error_codes"}` with AADSTS numbers
(reference-error-codes.md: 7000215 invalid secret, 7000222 expired secret, 700016 unknown application). Federated
tokens (workload identity) come as client_assertion.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from tests.doubles.arm.call import Answer
from tests.doubles.arm.world import World

EXPIRED = "expired"
"""A secret that a test gives a client to have it refused as expired."""


def issue(world: World, base: str, path: str, body: bytes) -> Answer:
    """Answer a request to the login service."""
    tenant, _, rest = path.strip("/").partition("/")
    if rest == "v2.0/.well-known/openid-configuration":
        return Answer(status=200, body=_configuration(base, tenant))
    form = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    client = world.clients.get(form.get("client_id", ""))
    if client is None or tenant != world.tenant:
        return _refused("unauthorized_client", 700016, "Application was not found in the directory.")
    given = form.get("client_secret") or form.get("client_assertion", "")
    if client.secret == EXPIRED:
        return _refused("invalid_client", 7000222, "The provided client secret keys are expired.")
    if form.get("grant_type") != "client_credentials" or given != client.secret:
        return _refused("invalid_client", 7000215, "Invalid client secret provided.")
    token = f"token-{world.number()}"
    world.tokens[token] = (form["client_id"], world.now() + world.token_seconds)
    seconds = int(world.token_seconds)
    body_ = {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}
    return Answer(status=200, body=body_)


def _configuration(base: str, tenant: str) -> dict[str, Any]:
    return {
        "token_endpoint": f"{base}/{tenant}/oauth2/v2.0/token",
        "authorization_endpoint": f"{base}/{tenant}/oauth2/v2.0/authorize",
        "issuer": f"{base}/{tenant}/v2.0",
    }


def _refused(error: str, number: int, text: str) -> Answer:
    said = {"error": error, "error_description": f"AADSTS{number}: {text}", "error_codes": [number]}
    return Answer(status=401 if error == "invalid_client" else 400, body=said)


def is_login(path: str) -> bool:
    """Tell whether a path is the login service's."""
    return path.endswith(("/oauth2/v2.0/token", "/.well-known/openid-configuration"))
