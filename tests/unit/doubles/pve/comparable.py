"""What of an answer must be equal: everything but ids that are drawn, times, digests and figures of load.

`comparable(body)` replaces those and sorts what has no order, so that two answers can be compared with `==`.
"""

from __future__ import annotations

import re
from typing import Any

_MASKED = frozenset(
    {
        *("digest", "pid", "pstart", "starttime", "endtime", "uptime", "ctime", "snaptime", "saved"),
        *("mem", "memhost", "cpu", "disk", "netin", "netout", "diskread", "diskwrite", "statistics"),
        *("used", "avail", "used_fraction", "total", "ssl_fingerprint", "n"),
    }
)
"""Keys whose values are times, drawn ids, or load; README of the recordings: figures of load are not to be trusted."""
_DRAWN = (
    (re.compile(r"UPID:(\w+):[0-9A-F]+:[0-9A-F]+:[0-9A-F]+:"), r"UPID:\1:*:"),
    (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"(?i)BC:24:11(:[0-9A-F]{2}){3}"), "<mac>"),
    (re.compile(r"[0-9a-f]{64}"), "<sha256>"),
    (re.compile(r"ctime=\d+"), "ctime=*"),
    (re.compile(r"pveupload-[0-9a-f]+"), "pveupload-*"),
)
_PROGRESS = re.compile(r"(mirror-\w+: )?transferred [\d.]+ \w+ of ([\d.]+ \w+) \([\d.]+%\)( in .*)?")
_SHORTENED = re.compile(r"(.*)<\.\.\. (\d+) characters in all>", re.DOTALL)
_LONGEST = 4000
_IDENTITY = ("id", "volid", "key", "upid", "storage", "vmid", "path", "name", "poolid")


def comparable(value: Any, key: str = "") -> Any:
    """Return a body without what may differ."""
    if key in _MASKED and not isinstance(value, (dict, list)) and not (key == "cpu" and isinstance(value, str)):
        return f"<{key}>"
    if isinstance(value, dict):
        if value.get("key") == "digest":
            return {"key": "digest"}
        return {name: comparable(one, name) for name, one in value.items() if not _figure(name, value)}
    if isinstance(value, list):
        return _ordered([comparable(one) for one in value])
    if isinstance(value, str):
        return _plain(value, key)
    return value


def _figure(name: str, row: dict[str, Any]) -> bool:
    """Tell whether a key is a figure of the recorded machine: the size of its own disks and memory."""
    return name in {"maxdisk", "maxmem", "maxcpu"} and row.get("type") in {"node", "storage"}


def _plain(text: str, key: str) -> str:
    text = shortened(text)
    for pattern, instead in _DRAWN:
        text = pattern.sub(instead, text)
    return ",".join(sorted(text.split(","))) if key == "content" and "," in text else text


def shortened(text: str) -> str:
    """Return a long text as the recordings hold it: its beginning and its length, or what it is all made of."""
    if len(text) > 10000 and not text.strip("\0"):
        return f"<{len(text)} characters of \\u0000>"
    found = _SHORTENED.fullmatch(text)
    if found:
        return f"{found[1][:100]}<... {found[2]} characters in all>"
    return f"{text[:100]}<... {len(text)} characters in all>" if len(text) > _LONGEST else text


def _ordered(rows: list[Any]) -> list[Any]:
    """Sort rows by what names them; a task's log keeps its order, its progress lines count once."""
    if rows and all(isinstance(row, dict) and "t" in row for row in rows):
        return _log([row["t"] for row in rows])
    name = next((key for key in _IDENTITY if rows and all(isinstance(r, dict) and key in r for r in rows)), None)
    return sorted(rows, key=lambda row: (str(row[name]), repr(sorted(row.items(), key=str)))) if name else rows


def _log(lines: list[str]) -> list[str]:
    shown: list[str] = []
    for line in lines:
        found = _PROGRESS.fullmatch(line)
        text = f"{found[1] or ''}transferred of {found[2]}" if found else line
        if not found or text not in shown[-1:]:
            shown.append(text)
    return shown
