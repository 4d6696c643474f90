"""Commands for those who are asked for help: doctor looks at the installation, report packs what a colleague needs."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from vmclone_kubectl import documents
from vmclone_kubectl.kubectl import Kubectl, KubectlError
from vmclone_kubectl.session import FAILED, session_of, told

KINDS = (documents.VMCLONES, documents.REPLICAS, documents.SOURCES, documents.BACKENDS)
_SELECTOR = "app.kubernetes.io/part-of=vmclone"
_LEASE_SECONDS = 30
_CLOCK_SECONDS = 60
_RIGHTS = (
    ("get", documents.VMCLONES),
    ("create", documents.VMCLONES),
    ("patch", documents.VMCLONES),
    ("list", documents.REPLICAS),
    ("get", documents.SOURCES),
    ("get", documents.BACKENDS),
    ("list", "events.events.k8s.io"),
)
OperatorNamespace = Annotated[str, typer.Option("--operator-namespace", help="Where the operator is installed.")]


def doctor(context: typer.Context, operator_namespace: OperatorNamespace = "vmclone-system") -> None:
    """Look at kinds, leader, clock, backends and your rights. Exit status 1 when something is wrong."""
    with told():
        kubectl = session_of(context).kubectl
        wrong = 0
        for fine, text in _looks(kubectl, operator_namespace):
            typer.echo(f"{'ok   ' if fine else 'WRONG'}  {text}")
            wrong += not fine
        raise typer.Exit(FAILED if wrong else 0)


def _looks(kubectl: Kubectl, operator_namespace: str) -> Iterator[tuple[bool, str]]:
    yield from _served(kubectl)
    yield from _leader(kubectl, operator_namespace)
    yield from _backends(kubectl)
    for verb, resource in _RIGHTS:
        fine = kubectl.allows(verb, resource)
        yield fine, f"you may {verb} {resource}" if fine else f"you may not {verb} {resource}: ask for that right"


def _served(kubectl: Kubectl) -> Iterator[tuple[bool, str]]:
    there = set(kubectl.call("api-resources", f"--api-group={documents.GROUP}", "--output=name").split())
    for kind in KINDS:
        yield kind in there, f"{kind} is served" if kind in there else f"{kind} is not served: install the CRDs"


def _leader(kubectl: Kubectl, operator_namespace: str) -> Iterator[tuple[bool, str]]:
    """Say whether an operator leads and its clock agrees with this one: it renews its Lease every few seconds."""
    try:
        where = (f"--namespace={operator_namespace}", f"--selector={_SELECTOR}")
        leases = json.loads(kubectl.call("get", "leases", *where, "--output=json"))["items"]
    except KubectlError as error:
        yield False, f"the Lease of the operator in {operator_namespace} cannot be read: {error}"
        return
    if not leases:
        yield False, f"no operator has a Lease in {operator_namespace}: is it installed there? Try --operator-namespace"
    for lease in leases:
        yield _lease(lease["spec"])


def _lease(spec: dict[str, Any]) -> tuple[bool, str]:
    holder = spec.get("holderIdentity")
    if not holder:
        return False, "nobody leads: read the logs of the operator's pods"
    age = (datetime.now(UTC) - datetime.fromisoformat(spec["renewTime"])).total_seconds()
    if age < -_CLOCK_SECONDS:
        return False, f"the leader's clock is {-age:.0f} s ahead of this one: set the clocks"
    if age > spec.get("leaseDurationSeconds", _LEASE_SECONDS) + _CLOCK_SECONDS:
        return False, f"{holder} has not renewed its Lease for {age:.0f} s: it has ended, or a clock is wrong"
    return True, f"{holder} leads"


def _backends(kubectl: Kubectl) -> Iterator[tuple[bool, str]]:
    try:
        backends = kubectl.every(documents.BACKENDS)
    except KubectlError as error:
        yield False, f"the backends cannot be read: {error}"
        return
    for backend in backends:
        trouble = [found for found in documents.conditions(backend) if found.troubles]
        for found in trouble:
            yield False, f"CloneBackend {documents.name(backend)}: {found.reason}: {found.message}"
        if not trouble:
            yield True, f"CloneBackend {documents.name(backend)} has no complaints"


def report(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="Archive to write, as report.tar.gz.")] = Path("vmclone-report.tar.gz"),
    operator_namespace: OperatorNamespace = "vmclone-system",
) -> None:
    """Pack objects, Events and the operator's logs for whoever helps. No Secret is read."""
    with told():
        kubectl = session_of(context).kubectl
        calls: dict[str, tuple[str, ...]] = {
            f"{kind.partition('.')[0]}.json": ("get", kind, "--output=json") for kind in KINDS
        }
        calls["events.json"] = ("get", "events.events.k8s.io", "--output=json")
        calls["version.json"] = ("version", "--output=json")
        where = f"--namespace={operator_namespace}"
        calls["operator.log"] = ("logs", where, f"--selector={_SELECTOR}", "--prefix", "--tail=2000")
        calls["pods.json"] = ("get", "pods", where, f"--selector={_SELECTOR}", "--output=json")
        with tarfile.open(file, "w:gz") as archive:
            for name, words in calls.items():
                _add(archive, name, _answer(kubectl, words))
        typer.echo(f"{file}: written; read it before you pass it on")


def _answer(kubectl: Kubectl, words: tuple[str, ...]) -> str:
    """Return what kubectl says; what may not be read is a sentence in the archive, not the end of the report."""
    try:
        return without_secrets(kubectl.call(*words))
    except KubectlError as error:
        return f"{error}\n"


def without_secrets(text: str) -> str:
    """Return JSON without values of the environment and without copies of manifests; other text as it is."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError:
        return text
    return json.dumps(_redacted(document), indent=2) + "\n"


def _redacted(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if not isinstance(value, dict):
        return value
    hidden = {"kubectl.kubernetes.io/last-applied-configuration", "managedFields"}
    kept = {key: _redacted(item) for key, item in value.items() if key not in hidden}
    if isinstance(kept.get("env"), list):
        kept["env"] = [_without_value(variable) for variable in kept["env"]]
    return kept


def _without_value(variable: Any) -> Any:  # noqa: ANN401 - JSON
    return {**variable, "value": "(redacted)"} if isinstance(variable, dict) and "value" in variable else variable


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    entry = tarfile.TarInfo(f"vmclone-report/{name}")
    entry.size = len(data)
    entry.mtime = int(datetime.now(UTC).timestamp())
    archive.addfile(entry, io.BytesIO(data))


COMMANDS: dict[str, Callable[..., None]] = {"doctor": doctor, "report": report}
