"""The demo over the double of Azure: identity and scrub are one run command of a clone that really boots."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.e2e.cluster import replicas_of
from tests.e2e.machines import lab_source, login_to_clone, login_to_source
from tests.e2e.planted import feed
from tests.remote import demos
from tests.support.canaries import WORD

pytestmark = pytest.mark.guest
AGENT_KEEPS = (
    "/var/lib/waagent/run-command-handler/download/earlier/0/script.sh",
    "/var/lib/waagent/run-command-handler/download/earlier/0/stdout",
    "/var/lib/waagent/custom-script/download/0/x.sh",
    "/var/lib/waagent/CustomData",
    "/var/lib/waagent/ovf-env.xml",
    "/var/log/azure/run-command-handler/handler.log",
)
_FOLDERS = "/var/lib/waagent /var/log/azure"


@pytest.fixture(scope="module", autouse=True)
def shown(count_boots: Callable[[int], None]) -> Iterator[str]:
    """What the demo printed; its source has what Azure's agent keeps of earlier scripts and of custom data."""
    source = login_to_source(lab_source(demos.SOURCE))
    lines = [f'mkdir -p "$(dirname {path})"; echo {WORD} >{path}' for path in AGENT_KEEPS]
    feed(source, "sudo sh -s", "\n".join(lines).encode())
    count_boots(demos.BOOTS)
    yield demos.run_demo("azure")
    demos.lab_without("arm")


def test_no_two_machines_have_an_identity_in_common() -> None:
    demos.check_identities()


def test_a_clone_of_the_disk_has_no_secret_of_its_sources_home() -> None:
    demos.check_homes()


def test_a_clone_of_the_disk_has_nothing_that_azures_agent_kept_in_its_source() -> None:
    """What its own agent keeps since, the script of the task that scrubbed it, is there and holds none of it."""
    facts = lab_source(demos.SOURCE)
    search, scripts = f"sudo grep -rl {WORD} {_FOLDERS} || true", "sudo find /var/lib/waagent -name script.sh"
    assert set(feed(login_to_source(facts), search, b"").split()) == set(AGENT_KEEPS)
    for login in (login_to_clone(replica, facts) for replica in replicas_of("dev")):
        assert feed(login, search, b"") == ""
        assert len(feed(login, scripts, b"").split()) == 1


def test_without_vmclones_there_is_neither_a_machine_nor_a_file_of_the_double() -> None:
    """Last in this module."""
    demos.check_nothing_left("arm-")
