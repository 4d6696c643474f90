"""A release of the chart in the lab: installed, upgraded and removed with the real Helm, as an administrator does."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
CHART = ROOT / "charts" / "vmclone-operator"
NAMESPACE = "vmclone-chart"
USERS = "chart-team"
RELEASE = "vmclone"
UNINSTALL = ("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
OPERATOR = f"system:serviceaccount:{NAMESPACE}:vmclone-vmclone-operator"


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    status: int
    text: str


def ask(*argv: str, stdin: str = "") -> Answer:
    """Run a command, whatever its exit status."""
    done = subprocess.run(
        argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=240
    )
    return Answer(done.returncode, done.stdout)


def do(*argv: str, stdin: str = "") -> str:
    """Run a command that must succeed."""
    answer = ask(*argv, stdin=stdin)
    assert answer.status == 0, f"{argv}: {answer.text}"
    return answer.text


def apply(*documents: dict[str, Any], user: str = "") -> Answer:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": [*documents]})
    impersonated = ["--as", user] if user else []
    return ask("kubectl", *impersonated, "apply", "-f", "-", stdin=text)


def read(*words: str) -> Any:
    return json.loads(do("kubectl", "get", *words, "-o", "json"))


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def credentials(pki: Path) -> dict[str, Any]:
    files = {"tls.crt": "clientcert.pem", "tls.key": "clientkey.pem", "ca.crt": "cacert.pem"}
    data = {key: base64.b64encode((pki / name).read_bytes()).decode() for key, name in files.items()}
    meta = {"name": "hypervisor", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data}


def ours(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    place = {"namespace": USERS} if kind == "VMClone" else {}
    return {"apiVersion": "vmclone.dev/v1alpha1", "kind": kind, "metadata": {"name": name, **place}, "spec": spec}


def wait_ready(*words: str, seconds: int = 60) -> None:
    do("kubectl", "wait", "--for=condition=Ready", f"--timeout={seconds}s", *words)


def helm(verb: str, *words: str, images: Mapping[str, str]) -> Answer:
    """Install or upgrade with the images of this checkout, by name."""
    settings = {"image.pullPolicy": "Never", "networkPolicy.enabled": "true"}
    for value, name in (("image", "operator"), ("homeCopy.image", "home-copy")):
        settings[f"{value}.repository"], _, settings[f"{value}.tag"] = images[name].rpartition(":")
    values = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    values += ["--set", "operator.extraArgs={--allow-fake}"]
    place = ["--namespace", NAMESPACE, "--wait", "--timeout", "120s"]
    return ask("helm", verb, RELEASE, str(CHART), *values, *place, *words)


def uninstall() -> Answer:
    return ask(*UNINSTALL, "--timeout", "120s")
