"""The chart as Helm renders it, as documents."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "vmclone-operator"
NAMESPACE = "vmclone-chart"


class RefusedError(Exception):
    """Helm refuses to render these values."""


def helm(*arguments: str, stdin: str = "") -> str:
    """Run helm and return what it prints; raises RefusedError with its words."""
    done = subprocess.run(
        [os.environ.get("VMCLONE_HELM", "helm"), *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RefusedError(done.stderr.strip() or done.stdout.strip())
    return done.stdout


def render(settings: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Return the documents of an installation with these `--set` values, and with these of a file."""
    words = [word for setting in settings for word in ("--set", setting)]
    command = ["template", "vmclone", str(CHART), "--namespace", NAMESPACE, "--kube-version", "1.30.0", *words]
    text = helm(*command, "--values", "-", stdin=json.dumps(values or {}))
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


def pods(documents: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the pod template of everything that runs pods."""
    for document in documents:
        if document["kind"] in ("Deployment", "Job"):
            yield document["spec"]["template"]
        elif document["kind"] == "Pod":
            yield document
