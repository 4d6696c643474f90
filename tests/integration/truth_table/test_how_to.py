"""What docs/how-to/use-with-argo-cd.md tells people to type puts the script where Argo CD looks for it."""

from __future__ import annotations

import json
import re

import pytest
from tests.integration.truth_table import readers
from tests.integration.truth_table.readers import HEALTH_SCRIPT, ROOT

from vmclone_operator.api.crds import KINDS

pytestmark = pytest.mark.apiserver
ACTIONS = {"VMClone": "actions.yaml", "VMCloneReplica": "replica-actions.yaml"}
HOW_TO = ROOT / "docs" / "how-to" / "use-with-argo-cd.md"


def test_the_how_to_adds_the_scripts_for_every_kind_and_keeps_other_settings(namespace: str) -> None:
    there = ["kubectl", "--namespace", namespace]
    assert readers.ask([*there, "create", "configmap", "argocd-cm", "--from-literal=url=kept"]).status == 0
    blocks = re.findall(r"```console\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    for block in blocks:
        typed = re.sub(r"^\$ ", "", block, flags=re.MULTILINE).replace("-n argocd ", f"-n {namespace} ")
        answer = readers.ask(["bash", "-euo", "pipefail", "-c", f"cd {ROOT}\n{typed}"])
        assert answer.status == 0, answer.text
    data = json.loads(readers.ask([*there, "get", "configmap", "argocd-cm", "-o", "json"]).text)["data"]
    script = HEALTH_SCRIPT.read_text(encoding="utf-8")
    added = {f"resource.customizations.health.vmclone.dev_{kind.name}": script for kind in KINDS}
    for kind, file in ACTIONS.items():
        actions = HEALTH_SCRIPT.with_name(file).read_text(encoding="utf-8")
        added[f"resource.customizations.actions.vmclone.dev_{kind}"] = actions
    assert data == {"url": "kept", **added}
