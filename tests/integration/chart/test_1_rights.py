"""The operator's ServiceAccount may do what is written down here, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.chart.release import NAMESPACE, OPERATOR, RELEASE, USERS, ask, do

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("installed")]
FOLDER = Path(__file__).parent
LISTS = {
    "in its own namespace": (NAMESPACE, "operator-rights.txt"),
    "everywhere else": (USERS, "operator-rights-elsewhere.txt"),
}


def rights(namespace: str) -> list[str]:
    rows = do("kubectl", "auth", "can-i", "--list", "-n", namespace, f"--as={OPERATOR}").splitlines()[1:]
    # Rows without a resource are what every user may read of the API server itself.
    return sorted(" ".join(row.split()) for row in rows if not row.startswith((" ", "[")))


@pytest.mark.parametrize(("namespace", "file"), LISTS.values(), ids=LISTS.keys())
def test_the_operators_rights_are_exactly_those_of_the_checked_in_list(namespace: str, file: str) -> None:
    assert rights(namespace) == (FOLDER / file).read_text(encoding="utf-8").splitlines()


def may(verb: str, resource: str, namespace: str) -> bool:
    return ask("kubectl", "auth", "can-i", verb, resource, "-n", namespace, f"--as={OPERATOR}").status == 0


def test_a_team_decides_whether_its_secrets_are_read() -> None:
    assert not may("get", "secrets", USERS)
    account = f"--serviceaccount={OPERATOR.removeprefix('system:serviceaccount:')}"
    role = "--clusterrole=vmclone-user-secrets"
    do("kubectl", "create", "rolebinding", RELEASE, role, account, "-n", USERS)
    assert may("get", "secrets", USERS)
    assert not may("list", "secrets", USERS)
    do("kubectl", "delete", "rolebinding", RELEASE, "-n", USERS)
