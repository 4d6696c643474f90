"""Who reads the conditions, each in its own words: kstatus, kubectl wait, Helm and the Argo CD health script."""

from __future__ import annotations

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
HEALTH_SCRIPT = ROOT / "charts" / "vmclone-operator" / "files" / "argocd" / "health.lua"
COMMAND_SECONDS = 120
SETTLES_SECONDS = 60
"""Long enough for a loaded machine: a tool that sees the end of the wait uses a moment of it."""
WAITS_SECONDS = 5
"""How long a tool is watched while it must go on waiting."""

# Argo CD opens these libraries to no script: https://argo-cd.readthedocs.io/en/stable/operator-manual/health/
_RUN_AS_ARGO_CD = """
local write = io.write
io, os, string, math, debug, coroutine, require = nil
getmetatable("").__index = nil
obj = {obj}
local health = dofile({script})
write(health.status, "\\n", health.message)
"""

# To actions Argo CD opens `os` as well, and of it only what tells the time.
_ACTION_AS_ARGO_CD = """
local write = io.write
os = { date = os.date, time = os.time }
package.loaded.os = os
io, string, math, debug, coroutine = nil
getmetatable("").__index = nil
obj = {obj}
local function json(value)
  if type(value) ~= "table" then
    return type(value) == "string" and '"' .. value .. '"' or tostring(value)
  end
  local entries = {}
  for key, item in pairs(value) do
    table.insert(entries, '"' .. key .. '":' .. json(item))
  end
  return "{" .. table.concat(entries, ",") .. "}"
end
write(json(dofile({script})))
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A status word and what is told with it."""

    status: str
    message: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said."""

    status: int
    text: str


def kstatus(program: str, stored: dict[str, Any]) -> Verdict:
    """Ask the kstatus library."""
    return Verdict(**json.loads(_output([program], json.dumps(stored))))


def argo_cd(stored: dict[str, Any], script: Path = HEALTH_SCRIPT) -> Verdict:
    """Run the health script by Lua 5.1, as Argo CD does: a global `obj`, and a table as the result."""
    program = _RUN_AS_ARGO_CD.replace("{script}", lua(str(script))).replace("{obj}", lua(stored))
    return Verdict(*_output(["lua5.1", "-"], program).split("\n", 1))


def action(stored: dict[str, Any], script: str) -> dict[str, Any]:
    """Run an action, or the script that offers them; both hand over an object without lists or quotes here.

    Raises subprocess.CalledProcessError when the script refuses.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        program = _ACTION_AS_ARGO_CD.replace("{script}", lua(file.name)).replace("{obj}", lua(stored))
        answer: dict[str, Any] = json.loads(_output(["lua5.1", "-"], program))
    return answer


def kubectl_wait(meta: dict[str, str], *, settles: bool) -> Answer:
    """Wait with kubectl for Ready."""
    seconds = SETTLES_SECONDS if settles else 1
    place = ["--namespace", meta["namespace"], f"vmclone/{meta['name']}"]
    return ask(["kubectl", "wait", "--for=condition=Ready", f"--timeout={seconds}s", *place])


def chart(folder: Path, manifest: dict[str, Any]) -> Path:
    """Write a chart that holds just this object."""
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(yaml.safe_dump({"apiVersion": "v2", "name": "one", "version": "0.1.0"}))
    (folder / "templates" / "object.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def helm_wait(program: str, folder: Path, meta: dict[str, str], *, settles: bool) -> Answer:
    """Install the chart and wait as Helm does; the object is there already, with the status that Helm is to read."""
    seconds = SETTLES_SECONDS if settles else WAITS_SECONDS
    how = ["--take-ownership", "--wait=watcher", f"--timeout={seconds}s", "--namespace", meta["namespace"]]
    return ask([program, "upgrade", "--install", *how, meta["name"], str(folder)])


def ask(argv: list[str]) -> Answer:
    """Run a command, whatever its exit status."""
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=COMMAND_SECONDS
    )
    return Answer(done.returncode, done.stdout)


def _output(argv: list[str], stdin: str) -> str:
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, check=True, timeout=COMMAND_SECONDS).stdout


def lua(value: object) -> str:
    """Return a value of JSON as Lua writes it; Argo CD hands arrays over as tables from 1, and null as nil."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + "".join(f"\\{byte:03d}" for byte in value.encode()) + '"'
    if isinstance(value, dict):
        return "{" + ", ".join(f"[{lua(key)}] = {lua(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(lua, value)) + "}"
    return repr(value)
