"""The API server as these tests need it: JSON in, status and JSON out, a refusal is an answer and no exception."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from vmclone_operator.api.crds import KINDS

PLURALS = {kind.name: kind.plural for kind in KINDS} | {"Namespace": "namespaces"}
CLUSTER_SCOPED = {kind.name for kind in KINDS if kind.scope == "Cluster"} | {"Namespace"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server answered."""

    status: int
    body: dict[str, Any]

    @property
    def causes(self) -> list[tuple[str, str]]:
        """Return field and sentence of everything that a refusal complains about."""
        causes = (self.body.get("details") or {}).get("causes") or []
        return [(cause.get("field", "").removeprefix("<nil>"), cause["message"]) for cause in causes]


class Server:
    """One connection to the API server of the lab."""

    def __init__(self, connection: client.ApiClient) -> None:
        self._connection = connection

    def call(self, method: str, path: str, *, body: Any = None, accept: str = "", **query: str) -> Answer:
        """Send one request; every object is checked strictly, as kubectl does."""
        patch = "application/apply-patch+yaml" if "fieldManager" in query else "application/merge-patch+json"
        headers = {
            "Accept": accept or "application/json",
            "Content-Type": patch if method == "PATCH" else "application/json",
        }
        strict = {"fieldValidation": "Strict"} if method in {"POST", "PUT", "PATCH"} else {}
        verb, url, sent, _, _ = self._connection.param_serialize(
            method,
            path,
            query_params=list((query | strict).items()),
            header_params=headers,
            auth_settings=["BearerToken"],
        )
        response = self._connection.call_api(verb, url, header_params=sent, body=body)
        return Answer(response.status, json.loads(response.read()))

    def create(self, manifest: Mapping[str, Any], **query: str) -> Answer:
        """Create an object, or with dryRun="All" only ask whether it could be created."""
        return self.call("POST", collection(manifest), body=manifest, **query)

    def get(self, manifest: Mapping[str, Any], *, part: str = "") -> dict[str, Any]:
        """Read an object, or a subresource of it."""
        answer = self.call("GET", path_of(manifest, part))
        assert answer.status == 200, answer.body
        return answer.body

    def replace(self, manifest: Mapping[str, Any], *, part: str = "", **query: str) -> Answer:
        """Replace an object, or a subresource of it."""
        return self.call("PUT", path_of(manifest, part), body=manifest, **query)

    def merge(self, manifest: Mapping[str, Any], change: Mapping[str, Any], *, part: str = "") -> Answer:
        """Merge a change into an object, or into a subresource of it."""
        return self.call("PATCH", path_of(manifest, part), body=change)

    def apply(self, manifest: Mapping[str, Any]) -> Answer:
        """Apply a manifest as `kubectl apply --server-side` does."""
        return self.call("PATCH", path_of(manifest), body=manifest, fieldManager="vmclone-tests", force="true")

    def delete(self, manifest: Mapping[str, Any]) -> None:
        """Remove an object; no complaint when it is gone already."""
        answer = self.call("DELETE", path_of(manifest))
        assert answer.status in {200, 202, 404}, answer.body


def collection(manifest: Mapping[str, Any]) -> str:
    """Return the path that objects like this one are created under."""
    kind, version = manifest["kind"], manifest["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    inside = "" if kind in CLUSTER_SCOPED else f"/namespaces/{manifest['metadata']['namespace']}"
    return f"{root}{inside}/{PLURALS[kind]}"


def path_of(manifest: Mapping[str, Any], part: str = "") -> str:
    """Return the path of an object, or of a subresource of it."""
    whole = f"{collection(manifest)}/{manifest['metadata']['name']}"
    return f"{whole}/{part}" if part else whole
