"""In a pod the API server is reached by its address: a cluster need not have a DNS for the operator to work."""

from __future__ import annotations

import kopf
import pytest

from vmclone_operator.handlers import by_address

LOGIN = kopf.ConnectionInfo(server="https://kubernetes.default.svc", token="t")
ADDRESSES = {
    "an address of version 4": ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "https://10.0.0.1:443"),
    "another port": (
        {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "KUBERNETES_SERVICE_PORT": "6443"},
        "https://10.0.0.1:6443",
    ),
    "an address of version 6 is bracketed": ({"KUBERNETES_SERVICE_HOST": "fd00::1"}, "https://[fd00::1]:443"),
    "outside of a pod nothing changes": ({}, "https://kubernetes.default.svc"),
}


@pytest.mark.parametrize(("environment", "server"), ADDRESSES.values(), ids=ADDRESSES.keys())
def test_where_the_api_server_is_reached(environment: dict[str, str], server: str) -> None:
    login = by_address(LOGIN, environment)
    assert (login.server, login.token) == (server, "t")
