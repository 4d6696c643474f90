"""`hack/check-chart`: one line per thing that is wrong."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import yaml

from vmclone_chart import expected
from vmclone_chart.rendered import CHART, RefusedError, helm, render
from vmclone_chart.rules import broken
from vmclone_generate.values import read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RENDERED = {
    "defaults": (),
    "everything off": (
        "crds.enabled=false",
        "admissionPolicy.enabled=false",
        "uninstall.guard=false",
        "podDisruptionBudget.enabled=false",
        "metrics.service.enabled=false",
        "rbac.aggregate=false",
        "rbac.userSecrets=false",
    ),
    "everything on": (
        "networkPolicy.enabled=true",
        "networkPolicy.metricsFrom[0].podSelector.matchLabels.a=b",
        "serviceMonitor.enabled=true",
        "serviceMonitor.interval=30s",
        "serviceMonitor.labels.release=monitoring",
        "serviceMonitor.metricRelabelings[0].action=keep",
        "prometheusRule.enabled=true",
        "prometheusRule.labels.release=monitoring",
        "grafanaDashboard.enabled=true",
        "kubeStateMetrics.enabled=true",
    ),
    "a mirror": ("imageRegistry=mirror.example/team", f"image.digest=sha256:{'0' * 64}", "imagePullSecrets={pull}"),
    "own names": ("fullnameOverride=clones", "serviceAccount.name=robot", "operator.instance=restored"),
    "copies with a place of their own": (
        "imagePullSecrets={pull}",
        "homeCopy.resources.limits.cpu=2",
        "homeCopy.nodeSelector.disk=ssd",
        "homeCopy.tolerations[0].key=copies",
        "homeCopy.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey=zone",
        "homeCopy.priorityClassName=low",
    ),
    "namespaces of its own": ("watchNamespaces={team-a,team-b}",),
    "placed": ("nodeSelector.disk=ssd", "priorityClassName=high", "operator.extraEnv.A=b", "operator.extraArgs={--x}"),
}
REFUSED = {
    "a misspelt value": "replicaCuont=3",
    "a misspelt inner value": "crds.keeep=false",
    "no replicas": "replicaCount=0",
    "a digest that is none": "image.digest=latest",
    "a port that needs rights": "metrics.port=80",
    "a namespace that is none": "watchNamespaces={Team_A}",
    "an unknown level": "operator.logLevel=LOUD",
    "a size that is none": "homeCopy.stagingSize=plenty",
    "an amount for copies that is none": "homeCopy.resources.limits.memory=plenty",
    "resources of copies outside of requests and limits": "homeCopy.resources.memory=1Gi",
    "an affinity of copies that Kubernetes does not know": "homeCopy.affinity.nodes.x=y",
    "a label by which the pods are found": r"podLabels.app\.kubernetes\.io/name=x",
    "such a label for all objects": r"commonLabels.app\.kubernetes\.io/instance=x",
    "such a label for copies": r"homeCopy.podLabels.app\.kubernetes\.io/component=x",
    "pods that run as root": "podSecurityContext.runAsUser=0",
    "pods that may run as root": "podSecurityContext.runAsNonRoot=false",
    "copies that run as root": "homeCopy.podSecurityContext.runAsUser=0",
    "pods without seccomp": "podSecurityContext.seccompProfile.type=Unconfined",
    "a privileged container": "securityContext.privileged=true",
    "a root that can be written": "securityContext.readOnlyRootFilesystem=false",
    "a capability": "securityContext.capabilities.add={NET_ADMIN}",
    "receipts that are gone at once": "homeCopy.ttlSecondsAfterFinished=0",
    "no ServiceAccount and none named": "serviceAccount.create=false",
    "a leader that goes on after its Lease": "leaderElection.renewDeadlineSeconds=30",
    "a Lease that one lost answer ends": "leaderElection.retryPeriodSeconds=15",
    "a variable without a name": "operator.extraEnv[0].value=x",
    "both monitors": "podMonitor.enabled=true,serviceMonitor.enabled=true",
    "a PodMonitor whose kind is missing": "podMonitor.enabled=true,podMonitor.renderMode=failIfMissing",
    "a ServiceMonitor without the Service": "serviceMonitor.enabled=true,metrics.service.enabled=false",
}


def main() -> int:
    """Run every check and return 1 when one fails."""
    found = [*_lint(), *_rendered(), *_refused(), *_undescribed(), *expected.problems(), *_unexpected()]
    for problem in found:
        print(problem)
    return int(bool(found))


def _lint() -> Iterator[str]:
    try:
        helm("lint", "--strict", str(CHART))
    except RefusedError as error:
        yield f"lint: {error}"


def _rendered() -> Iterator[str]:
    for name, settings in RENDERED.items():
        try:
            yield from (f"{name}: not so: {rule}" for rule in broken(render(settings)))
        except RefusedError as error:
            yield f"{name}: {error}"


def _refused() -> Iterator[str]:
    for name, setting in REFUSED.items():
        try:
            render([setting, "crds.enabled=false"])
        except RefusedError:
            continue
        yield f"{name} is accepted: {setting}"


def _unexpected() -> Iterator[str]:
    """Name the values that no row of `expected` sets."""
    text, schema = (CHART / "values.yaml").read_text(), json.loads((CHART / "values.schema.json").read_text())
    paths = [value.path for value in read(text, schema)]
    yield from (f"no row of hack/vmclone_chart/expected.py says what {path} does" for path in expected.unset(paths))


def _undescribed() -> Iterator[str]:
    """Compare the default values with the schema, both ways."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    known = set(_described(schema, ""))
    present = set(_present(values, known, ""))
    yield from (f"values.yaml has {path}, values.schema.json does not" for path in sorted(present - known))
    yield from (
        f"values.schema.json has {path}, values.yaml does not" for path in sorted(known - present - {".global"})
    )


def _described(schema: Mapping[str, object], path: str) -> Iterator[str]:
    properties = schema.get("properties")
    for name, inner in properties.items() if isinstance(properties, dict) else ():
        yield f"{path}.{name}"
        yield from _described(inner, f"{path}.{name}")


def _present(values: Mapping[str, object], known: set[str], path: str) -> Iterator[str]:
    for name, inner in values.items():
        here = f"{path}.{name}"
        yield here
        if isinstance(inner, dict) and any(other.startswith(f"{here}.") for other in known):
            yield from _present(inner, known, here)


if __name__ == "__main__":
    sys.exit(main())
