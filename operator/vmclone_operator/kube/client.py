"""The real API server, through the official asyncio client's transport and raw JSON.

Paths are built from the `Kind` table and quoted names; JSON patches carry the resourceVersion, so that a
stale document is answered with 409 and never overwrites somebody else's write.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp
from kubernetes.aio import client, config

from vmclone_operator.domain.backend import Fence
from vmclone_operator.domain.errors import LeadershipLost
from vmclone_operator.kube.cluster import Conflict, Document, Gone, HookDown, Key, Kind, Refused, Unavailable
from vmclone_operator.kube.proxy import checked_proxy, proxy_for
from vmclone_operator.kube.server_time import ServerTime

_CHUNK = 500
_TIMEOUT_SECONDS = 30.0
_LOG_BYTES = 64 * 1024
_JSON = "application/json, */*"
_METADATA = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
_JSON_PATCH = "application/json-patch+json"
_WATCHED = frozenset({Kind.VMCLONE, Kind.REPLICA})
_LEASES = f"/apis/{Kind.LEASE.group}/"


async def connect(identity: str = "") -> KubeClient:
    """Connect with KUBECONFIG where it is set, else with the pod's service account; `identity` is for audit logs."""
    configuration = client.Configuration()
    if os.environ.get("KUBECONFIG"):
        await config.load_kube_config(client_configuration=configuration)
    else:
        config.load_incluster_config(client_configuration=configuration)
    configuration.proxy = configuration.proxy or proxy_for(configuration.host, os.environ) or None
    if configuration.proxy:
        checked_proxy(configuration.proxy, "the kubeconfig")
    configuration.client_session_kwargs = {"trust_env": False}  # it would read NO_PROXY by rules of its own
    api = client.ApiClient(configuration)
    api.user_agent = "/".join(filter(None, ("vmclone-operator", identity)))
    return KubeClient(api)


class KubeClient:
    """Implements `Cluster` against a real API server."""

    def __init__(self, api: client.ApiClient) -> None:
        self._api = api
        self.namespaces: tuple[str, ...] = ()
        """Where users' objects are watched; empty: in all namespaces."""
        self.time = ServerTime()
        """The API server's own clock."""
        self.fence: Fence = _no_fence
        """Called before each write but those of the Lease; raises LeadershipLost when they may not go on."""

    async def close(self) -> None:
        """End all connections."""
        await self._api.close()

    async def get(self, key: Key) -> Document | None:
        """Read one object live; None when it does not exist."""
        try:
            return await self._request("GET", _path(key.kind, key.namespace, key.name))
        except Gone:
            return None

    async def list(
        self, kind: Kind, *, namespace: str = "", labels: Mapping[str, str] | None = None
    ) -> Sequence[Document]:
        """List objects live, in chunks, over all namespaces unless one is named, or these are all that are watched."""
        if kind not in _WATCHED or namespace or not self.namespaces:
            return await self._list(_path(kind, namespace), labels or {}, accept=_JSON)
        found: list[Document] = []
        for watched in self.namespaces:
            found += await self._list(_path(kind, watched), labels or {}, accept=_JSON)
        return found

    async def list_named(self, kind: Kind, name: str) -> Sequence[Document]:
        """List the objects of one name in all namespaces; it needs the right to list that name alone."""
        return await self._list(_path(kind, ""), {}, accept=_JSON, fields=f"metadata.name={name}")

    async def list_metadata(self, kind: Kind, *, namespace: str, labels: Mapping[str, str]) -> Sequence[Document]:
        """List names, labels and uids of objects live; their contents never leave the API server."""
        return await self._list(_path(kind, namespace), labels, accept=_METADATA)

    async def events_of(self, namespace: str, uid: str) -> Sequence[Document]:
        """List the Events of a namespace that are about one object."""
        return await self._list(_path(Kind.EVENT, namespace), {}, accept=_JSON, fields=f"regarding.uid={uid}")

    async def _list(self, path: str, labels: Mapping[str, str], *, accept: str, fields: str = "") -> Sequence[Document]:
        selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
        query = [("limit", str(_CHUNK)), *([("labelSelector", selector)] if selector else [])]
        query += [("fieldSelector", fields)] if fields else []
        items: list[Document] = []
        token = ""
        while True:
            pages = [*query, *([("continue", token)] if token else [])]
            page: Document = json.loads(await self._send("GET", path, query=pages, accept=accept))
            items += page.get("items") or []  # of metadata alone an empty list is null
            token = page.get("metadata", {}).get("continue", "")
            if not token:
                return items

    async def create(self, kind: Kind, document: Document) -> Document:
        """Create an object; raises Conflict when the name is taken, Gone when its namespace is."""
        body = {"apiVersion": kind.api_version, "kind": kind.kind, **document}
        return await self._request("POST", _path(kind, document["metadata"].get("namespace", "")), body=body)

    async def replace(self, kind: Kind, document: Document) -> Document:
        """Replace an object; raises Conflict when its resourceVersion is not the newest."""
        return await self._request("PUT", _path_of(kind, document), body=document)

    async def delete(self, kind: Kind, document: Document) -> None:
        """Ask for deletion of exactly this object (same uid); no effect when it is gone. A Job goes after its pods."""
        policy = "Foreground" if kind is Kind.JOB else "Background"
        body = {"preconditions": {"uid": document["metadata"]["uid"]}, "propagationPolicy": policy}
        try:
            await self._request("DELETE", _path_of(kind, document), body=body)
        except (Gone, Conflict):
            return

    async def write_status(self, kind: Kind, document: Document, status: Mapping[str, Any]) -> Document:
        """Replace the status; raises Conflict when the document is not the newest, Gone when it was deleted."""
        change = {"op": "add", "path": "/status", "value": status}
        return await self._patch(_path_of(kind, document) + "/status", document, change)

    async def write_finalizers(self, kind: Kind, document: Document, finalizers: Sequence[str]) -> Document:
        """Replace the list of finalizers and nothing else; raises Conflict and Gone."""
        change = {"op": "add", "path": "/metadata/finalizers", "value": [*finalizers]}
        return await self._patch(_path_of(kind, document), document, change)

    async def pod_log(self, namespace: str, name: str, *, lines: int) -> str:
        """Return the last lines of a pod's log; empty when there is none (yet)."""
        query = [("tailLines", str(lines)), ("limitBytes", str(_LOG_BYTES))]
        path = _path(Kind.POD, namespace, name) + "/log"
        try:
            return (await self._send("GET", path, query=query)).decode("utf-8", "replace")
        except (Gone, Refused):  # a container that has not started is answered with 400
            return ""

    async def write_labels(self, kind: Kind, document: Document, labels: Mapping[str, str]) -> Document:
        """Replace the labels and nothing else; raises Conflict and Gone."""
        change = {"op": "add", "path": "/metadata/labels", "value": dict(labels)}
        return await self._patch(_path_of(kind, document), document, change)

    async def _patch(self, path: str, document: Document, change: Mapping[str, Any]) -> Document:
        meta = document["metadata"]
        checks = [
            {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
        ]
        return await self._request("PATCH", path, body=[*checks, change], content_type=_JSON_PATCH)

    async def _request(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: object = None,
        content_type: str = "application/json",
    ) -> Document:
        text = await self._send(method, path, query=query, body=body, content_type=content_type)
        answer: Document = json.loads(text)
        return answer

    def _check_fence(self) -> None:
        try:
            self.fence()
        except LeadershipLost as error:
            raise Unavailable(str(error)) from error

    async def _send(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]] = (),
        body: object = None,
        content_type: str = "application/json",
        accept: str = _JSON,
    ) -> bytes:
        if method != "GET" and not path.startswith(_LEASES):
            self._check_fence()
        headers = {"Accept": accept, "Content-Type": content_type}
        try:
            request = await self._api.param_serialize(
                method, path, query_params=[*query], header_params=headers, body=body, auth_settings=["BearerToken"]
            )
            response = await self._api.call_api(*request, _request_timeout=_TIMEOUT_SECONDS)
            self.time.heard(response.headers.get("Date"))
            text: bytes = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Unavailable(f"the API server does not answer: {error!r}") from error
        if response.status >= 300:  # noqa: PLR2004  - HTTP
            raise _refusal(response.status, text)
        return text


def _no_fence() -> None:
    """Let every write through."""


def _path(kind: Kind, namespace: str, name: str = "") -> str:
    root = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    middle = f"/namespaces/{quote(namespace, safe='')}" if kind.namespaced and namespace else ""
    return f"{root}{middle}/{kind.plural}" + (f"/{quote(name, safe='')}" if name else "")


def _path_of(kind: Kind, document: Document) -> str:
    meta = document["metadata"]
    return _path(kind, meta.get("namespace", ""), meta["name"])


def _refusal(status: int, text: bytes) -> Exception:
    try:
        answer = json.loads(text)
    except ValueError:
        answer = {}
    message = str(answer.get("message", f"HTTP {status}"))[:1024]
    if status == 404:  # noqa: PLR2004
        return Gone(message)
    # A failed JSON-patch test (another uid: the object was made again) is answered with 422 Invalid.
    if status == 409 or (status == 422 and "testing" in message.lower()):  # noqa: PLR2004
        return Conflict(message)
    if status >= 500 and "failed calling webhook" in message:  # noqa: PLR2004
        return HookDown(message)
    if status in (408, 429) or status >= 500:  # noqa: PLR2004
        return Unavailable(message)
    return Refused(message)
