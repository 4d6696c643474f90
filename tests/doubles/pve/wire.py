"""HTTP as pveproxy reads and writes it: forms, JSON, uploads, and errors in the reason phrase.

pve-http-server src/PVE/APIServer/AnyEvent.pm 5c9e4ea; recordings 10 and 11-http-agent-misc.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote

from tests.doubles.pve.double import Answer, Request
from tests.doubles.pve.refusals import Raw

_JSON = "/api2/json"
_EXTJS = "/api2/extjs"
_UPLOAD_ORDER = ("content", "checksum-algorithm", "checksum", "filename")
_DAEMON = "/usr/share/perl5/PVE/APIServer/AnyEvent.pm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP response."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes


def understood(method: str, target: str, headers: dict[str, str], body: bytes, limit: int) -> Request:
    """Return the request, or raise `Raw` for what the daemon itself does not take; header names in lower case."""
    path, _, query = target.partition("?")
    params = _collected(parse_qsl(query, keep_blank_values=True, encoding="utf-8"))
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    upload = None
    if method in {"POST", "PUT"} and kind == "multipart/form-data":
        fields, upload = _multipart(headers["content-type"], body)
        params |= fields
    elif method in {"POST", "PUT"} and body:
        if len(body) > limit:
            raise Raw(501, "for data too large", "for data too large")
        params |= _body(kind, body)
    cookie = re.search(r"PVEAuthCookie=([^;]+)", headers.get("cookie", ""))
    return Request(
        method=method,
        path=re.sub(r"/+", "/", _below_api(path)),
        params=params,
        authorization=headers.get("authorization", ""),
        ticket=unquote(cookie[1]) if cookie else "",
        csrf=headers.get("csrfpreventiontoken", ""),
        upload=upload,
    )


def extjs(target: str) -> bool:
    """Tell whether the answer is wanted in the web interface's own form."""
    return target.startswith(_EXTJS)


def _below_api(path: str) -> str:
    for start in (_JSON, _EXTJS):
        if path.startswith(f"{start}/"):
            return path.removeprefix(start)
    raise Raw(404, f"no such file '{path}'")


def _collected(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return parameters by name; one that comes twice is a list (recording 11, 41)."""
    params: dict[str, Any] = {}
    for name, value in pairs:
        if name in params:
            before = params[name]
            params[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            params[name] = value
    return params


def _body(kind: str, body: bytes) -> dict[str, Any]:
    if kind == "application/json":
        return _json(body)
    if kind == "application/x-www-form-urlencoded":
        return _collected(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    text = f"upload 'Content-Type '{kind}' not implemented"
    raise Raw(506, text, text)


def _json(body: bytes) -> dict[str, Any]:
    """Return the parameters of a JSON body (recording 11, 31-36)."""
    try:
        read = json.loads(body)
    except ValueError:
        text = f"{_broken(body.decode(errors='replace'))} at {_DAEMON} line 934."
        raise Raw(500, text, f"{text}\n") from None
    if not isinstance(read, dict):
        text = f"Not a HASH reference at {_DAEMON} line 978."
        raise Raw(500, text, f"{text}\n")
    return read


def _broken(text: str) -> str:
    """Say what is wrong with a JSON text, as Perl's parser does it."""
    if text.startswith("{"):
        return f'\'"\' expected, at character offset 1 (before "{text[1:]}")'
    kinds = "neither tag, array, object, number, string or atom"
    return f'malformed JSON string, {kinds}, at character offset 0 (before "{text}")'


def _multipart(content_type: str, body: bytes) -> tuple[dict[str, str], tuple[str, bytes] | None]:
    """Return an upload's fields and file; fields in another order are refused without a word (recording 10, 22-30)."""
    boundary = re.search(r'boundary="?([^";]+)', content_type)
    if boundary is None:
        raise Raw(400, "Bad Request")
    fields: dict[str, str] = {}
    for part in body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, data = part.partition(b"\r\n\r\n")
        name = re.search(r'[; ]name="([^"]*)"', head.decode())
        given = re.search(r'filename="([^"]*)"', head.decode())
        content = data.removesuffix(b"\r\n")
        if given is not None:
            return {**fields, "filename": given[1]}, (given[1], content)
        if name is None or not _in_order(fields, name[1]):
            raise Raw(400, "Bad Request")
        fields[name[1]] = content.decode().strip()
    raise Raw(400, "Bad Request")


def _in_order(before: dict[str, str], name: str) -> bool:
    """Tell whether a field may come after those."""
    if name not in _UPLOAD_ORDER:
        return False
    return all(_UPLOAD_ORDER.index(one) < _UPLOAD_ORDER.index(name) for one in before)


def written(answer: Answer, *, for_extjs: bool) -> Reply:
    """Return an answer as it goes over the wire."""
    body = answer.body
    if for_extjs and isinstance(body, dict):
        return _extjs(answer, body)
    if isinstance(body, str):
        return Reply(status=answer.status, reason=_phrase(answer.reason), headers={}, body=body.encode())
    return Reply(status=answer.status, reason=_phrase(answer.reason), headers=_TYPED, body=json.dumps(body).encode())


_TYPED = {"Content-Type": "application/json;charset=UTF-8"}


def _extjs(answer: Answer, body: dict[str, Any]) -> Reply:
    """Say everything with status 200, as the web interface wants it; 400 is a string there (README 7)."""
    said = {**body, "success": int(answer.status < 300)}
    if not said["success"]:
        said["status"] = str(answer.status) if answer.status == 400 else answer.status
    return Reply(status=200, reason="OK", headers=_TYPED, body=json.dumps(said).encode())


def _phrase(text: str) -> str:
    """Return the first line: a status line has no second."""
    return text.split("\n", maxsplit=1)[0]
