"""Sends a recording to the double over HTTPS, exchange by exchange at its own time, and compares the answers.

The clock stands where the recorded request was sent; a task takes as long as its recorded polls say, because
the speed of the recorded machine is no rule of the server. What the double drew itself (task ids, digests) is
put in the place of what was recorded.
"""

from __future__ import annotations

import hashlib
import json
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import quote, unquote, urlencode

import aiohttp
from tests.doubles.pve.access import builtin_roles
from tests.doubles.pve.call import route
from tests.doubles.pve.double import Double
from tests.doubles.pve.server import Server
from tests.doubles.pve.world import World
from tests.support.simulation import SimClock
from tests.unit.doubles.pve.comparable import comparable
from tests.unit.doubles.pve.lab import OPS, lab, recorded
from yarl import URL

Setup = Callable[[World], None]
_QUICK = 1000
"""Milliseconds within which an answer shows how things stand when it comes; longer ones waited for something."""
_UNSEEN = 0.2
"""Seconds of a task that nobody looked at."""
_BESIDE = 0.5
"""Seconds by which a request must have been sent too early to have been sent beside another."""
_LATEST = 5.0
"""Seconds after the last poll that saw it running by which a task is taken to have ended."""
_STEPS = (
    "VM.Clone on /vms/132; Datastore.AllocateSpace on /storage/local; Datastore.AllocateSpace on /storage/second;"
    " SDN.Use on /sdn/zones/localnetwork"
)
"""What the second user had been given by the end of his clone (recording 09, 61)."""
_BOUNDARY = "----recorder"
_EXPANDED = re.compile(r"(.)\1*<\.\.\. (\d+) characters in all>", re.DOTALL)


def _nothing(_: World) -> None:
    """Let nothing happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A recording, how the cluster was before it, and what happened that no exchange shows."""

    name: str
    before: Setup = _nothing
    meanwhile: dict[int, Setup] = field(default_factory=dict)
    """By exchange, what happened just before it."""
    prelude: tuple[tuple[str, int], ...] = ()
    """Exchanges of other recordings whose work is still going on at the beginning."""
    first_round: float = 10.0
    """Seconds from the beginning to the first status round."""
    not_sent: tuple[int, ...] = ()
    bodies: dict[int, str] = field(default_factory=dict)
    """Bodies that are no parameters, which the recording does not hold."""


@dataclass(slots=True)
class Outcome:
    """What a replay found: how many answers were equal, and each one that was not."""

    equal: list[str] = field(default_factory=list)
    different: dict[str, str] = field(default_factory=dict)


class Replay:
    """One recording on its way through the double."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.rows = recorded(scenario.name)
        self.prelude = [row for name, number in scenario.prelude for row in recorded(name) if row["n"] == number]
        self.clock = SimClock()
        self.start = min(_sent(row) for row in [*self.prelude, *self.rows])
        self.world = lab(self.clock, self.start, scenario.first_round)
        self.unsent: list[str] = []
        """Tasks of requests that are not replayed."""
        self.late = 0.0
        """How far the clock is behind the recording, because requests that were sent beside each other come in turn."""
        self.names: dict[str, str] = {}
        """By what was recorded, what the double has in its place."""
        self.outcome = Outcome()
        scenario.before(self.world)

    async def run(self, replayed: frozenset[str]) -> Outcome:
        """Send every exchange of the endpoints that are replayed."""

        async def sleep(seconds: float) -> None:
            self.clock.advance(seconds)

        async with Server(Double(self.world), sleep=sleep) as server:
            context = ssl.create_default_context(cafile=str(server.certificate))
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as client:
                for row in self.prelude:
                    await self._exchange(client, server.port, row, replayed)
                self.outcome = Outcome()
                for row in self.rows:
                    await self._exchange(client, server.port, row, replayed)
        return self.outcome

    async def _exchange(
        self, client: aiohttp.ClientSession, port: int, row: dict[str, Any], replayed: frozenset[str]
    ) -> None:
        self._advance(row)
        self.scenario.meanwhile.get(row["n"], _nothing)(self.world)
        _grant(self.world, row)
        found = route(row["method"], row["path"].partition("?")[0])
        unknown = found is None and row["status"] != 501
        if unknown or (found is not None and found[0] not in replayed) or self._of_unsent(row):
            self.unsent.append(_upid(row))
            return
        if row["n"] in self.scenario.not_sent:
            self.outcome.different[f"{row['n']}"] = "not sent"
            self.unsent.append(_upid(row))
            return
        self._pace(row)
        path, body, headers = self._request(row)
        url = URL(f"https://127.0.0.1:{port}{path}", encoded=True)
        sent = client.request(
            row["method"], url, data=None if body is None else BytesIO(body), headers=headers, allow_redirects=False
        )
        try:
            async with sent as response:
                text = await response.text()
        except aiohttp.ClientConnectionError:
            self._judge(row, 0, "no HTTP response: RemoteDisconnected", "")
        else:
            self._judge(row, response.status, response.reason or "", text)

    def _of_unsent(self, row: dict[str, Any]) -> bool:
        """Tell whether a request is about a task of an endpoint that is not replayed."""
        return any(upid and upid in unquote(row["path"]) for upid in self.unsent)

    def _advance(self, row: dict[str, Any]) -> None:
        """Set the clock to where a recorded write was sent or a recorded read answered, and let happen what is due."""
        due = (row["at"] if row["method"] == "GET" and row["ms"] < _QUICK else _sent(row)) - self.start
        if self.clock.seconds > due + self.late + _BESIDE:
            self.late = self.clock.seconds - due
        self.clock.seconds = max(self.clock.seconds, due + self.late)
        self.world.timeline.settle()

    def _pace(self, row: dict[str, Any]) -> None:
        """Say how long the task takes that this request begins: it ends between two of the recorded polls."""
        upid = _upid(row)
        self.world.timing.next_task = None
        if not upid:
            return
        begun = _sent(row)
        running, stopped = begun, None
        for poll in self.rows:
            if not unquote(poll["path"]).endswith(f"{upid}/status") or poll["status"] != 200:
                continue
            asked = poll["at"]
            if poll["body"]["data"]["status"] == "running":
                running = max(running, asked)
            elif stopped is None:
                stopped = asked
        if stopped is None and running == begun:
            self.world.timing.next_task = _UNSEEN
        elif stopped is not None:
            self.world.timing.next_task = max(0.0, min((running + stopped) / 2, running + _LATEST) - begun)

    def _request(self, row: dict[str, Any]) -> tuple[str, bytes | None, dict[str, str]]:
        start = "" if row["path"].startswith("/api2/") else "/api2/json"
        path = start + self._renamed(row["path"])
        headers = {name: str(value) for name, value in row.get("headers", {}).items()}
        if row.get("auth", "ticket") == "ticket":
            ticket = quote(f"<TICKET:{row['user']}>")
            headers["Cookie"] = row.get("cookie", f"PVEAuthCookie={ticket}")
            headers["CSRFPreventionToken"] = row.get("csrf") or f"<CSRF:{row['user']}>"
        params = self._params(row)
        if "request" in row:
            return path, *_upload(row["request"]["body"], headers)
        if row["n"] in self.scenario.bodies:
            return path, self.scenario.bodies[row["n"]].encode(), headers
        if row.get("in") == "json":
            return path, json.dumps(params).encode(), {**headers, "Content-Type": "application/json"}
        if params is None:
            return path, None, headers
        pairs = params if isinstance(params, list) else [(k, v) for k, v in params.items()]
        encoded = urlencode([(name, _text(value)) for name, value in pairs])
        if row.get("in") == "query":
            return f"{path}?{encoded}", None, headers
        return path, encoded.encode(), {**headers, "Content-Type": "application/x-www-form-urlencoded"}

    def _params(self, row: dict[str, Any]) -> Any:
        params = row.get("params")
        if not isinstance(params, dict):
            return params
        filled = {name: _expanded(value) for name, value in params.items()}
        digest = str(filled.get("digest", ""))
        if len(digest) == 40 and digest.strip("0"):
            found = re.search(r"/qemu/(\d+)/", row["path"])
            assert found is not None
            filled["digest"] = self.names.setdefault(digest, self.world.vms[int(found[1])].digest())
        if "pid" in filled:
            filled["pid"] = self.names.get(f"pid {filled['pid']}", filled["pid"])
        return filled

    def _renamed(self, path: str) -> str:
        for known, mine in self.names.items():
            path = path.replace(quote(known, safe=""), quote(mine, safe=""))
        return path

    def _judge(self, row: dict[str, Any], status: int, reason: str, text: str) -> None:
        body = json.loads(text) if text.startswith(("{", "[")) else text
        self._learn(row["body"], body)
        mine = {"status": status, "reason": comparable(reason), "body": comparable(body)}
        there = {"status": row["status"], "reason": comparable(_first(row["reason"])), "body": comparable(row["body"])}
        name = f"{row['n']}"
        if mine == there:
            self.outcome.equal.append(name)
        else:
            self.outcome.different[name] = _described(there, mine)

    def _learn(self, there: Any, mine: Any) -> None:
        """Remember which task and which process of the double stand for the recorded ones."""
        if not (isinstance(there, dict) and isinstance(mine, dict)):
            return
        old, new = there.get("data"), mine.get("data")
        if isinstance(old, str) and isinstance(new, str) and old.startswith("UPID:") and new.startswith("UPID:"):
            self.names[old] = new
        if isinstance(old, dict) and isinstance(new, dict) and set(old) == {"pid"} == set(new):
            self.names[f"pid {old['pid']}"] = str(new["pid"])


def _upid(row: dict[str, Any]) -> str:
    """Return the task that a request began, if it did."""
    data = row["body"].get("data") if isinstance(row["body"], dict) else None
    return data if isinstance(data, str) and data.startswith("UPID:") else ""


def _sent(row: dict[str, Any]) -> float:
    """Return when a request was sent."""
    sent: float = row["at"] - row["ms"] / 1000
    return sent


def _first(text: str) -> str:
    return text.split("\n", maxsplit=1)[0].strip()


def _text(value: Any) -> str:
    if isinstance(value, list):
        raise TypeError(value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def _expanded(value: Any) -> Any:
    """Undo the shortening of long values in the recordings."""
    found = _EXPANDED.fullmatch(value) if isinstance(value, str) else None
    return found[1] * int(found[2]) if found else value


def _upload(body: dict[str, Any], headers: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    """Return an upload of as many bytes as were recorded, with their own checksum where the recorded one was right."""
    lines = []
    for name, recorded_value in body["multipart"].items():
        wrong = name != "checksum" or not recorded_value.strip("0")
        value = recorded_value if wrong else hashlib.sha256(bytes(body["bytes"])).hexdigest()
        lines.append(f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    file = f'form-data; name="filename"; filename="{body["filename"]}"'
    kind = "Content-Type: application/octet-stream"
    lines.append(f"--{_BOUNDARY}\r\nContent-Disposition: {file}\r\n{kind}\r\n\r\n".encode())
    lines.append(bytes(body["bytes"]) + f"\r\n--{_BOUNDARY}--\r\n".encode())
    return b"".join(lines), headers


def _grant(world: World, row: dict[str, Any]) -> None:
    """Give the second user what the recording says he had; what he got for his clone was not taken back later."""
    if row.get("user") != OPS:
        return
    world.access.entries = [entry for entry in world.access.entries if entry.who != OPS]
    world.access.roles = dict(builtin_roles())
    said = str(row.get("privileges", "none"))
    if said.startswith("as the steps"):
        said = f"{_STEPS}; VM.Allocate on /pool/pool1"
    elif "/vms/130" in said:
        said = f"{said}; {_STEPS}"
    for part in said.split("; "):
        found = re.fullmatch(r"(.+) on (/\S+)", part)
        if found:
            world.access.grant(OPS, found[2], *re.split(r",\s*", found[1]))


def _described(there: dict[str, Any], mine: dict[str, Any]) -> str:
    return f"recorded {json.dumps(there, sort_keys=True)}\n    double   {json.dumps(mine, sort_keys=True)}"
