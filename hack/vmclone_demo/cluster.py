"""kubectl inside the lab, as a user would type it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def in_lab(*argv: str, given: str = "") -> str:
    """Run a command inside the lab and return what it prints; raises CalledProcessError."""
    command = [str(ROOT / "hack" / "lab"), "exec", "--", *argv]
    return subprocess.run(command, input=given, check=True, capture_output=True, text=True).stdout


def lab_status() -> dict[str, Any]:
    """Return where the lab has what."""
    command = [str(ROOT / "hack" / "lab"), "status", "--json"]
    status: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return status


def give(*items: Mapping[str, Any]) -> str:
    """Apply documents and return what changed."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    apply = ["kubectl", "apply", "--server-side", "--force-conflicts", "-f", "-"]
    return in_lab(*apply, given=text).rstrip()


def documents(plural: str, namespace: str) -> list[dict[str, Any]]:
    """Return all objects of a kind in a namespace."""
    items: list[dict[str, Any]] = json.loads(in_lab("kubectl", "-n", namespace, "get", plural, "-o", "json"))["items"]
    return items


def changes(plural: str, namespace: str, name: str, *, seconds: int) -> Iterator[dict[str, Any]]:
    """Yield an object now and whenever it changes; one process, because polling takes CPU from the booting clones."""
    wanted = ["-n", namespace, "get", plural, name, "--watch", f"--request-timeout={seconds}s"]
    argv = [str(ROOT / "hack" / "lab"), "exec", "--", "kubectl", *wanted, "-o", 'jsonpath={@}{"\\n"}']
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as watching:
        try:
            for line in watching.stdout or ():
                yield json.loads(line)
        finally:
            watching.terminate()
