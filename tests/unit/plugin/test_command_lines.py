"""Command lines: kubectl's flags stand anywhere, and OpenSSH gets pinned keys and words as they are."""

from __future__ import annotations

import pytest
from tests.unit.plugin.objects import replica

from vmclone_kubectl import openssh
from vmclone_kubectl.arguments import flags_first
from vmclone_kubectl.kubectl import ForbiddenError, KubectlError, NotFoundError, _error

KEY = "ssh-ed25519 AAAAC3Nza"
GUEST = {"addresses": ["10.0.0.7"], "sshHostKeys": [KEY]}
REACHABLE = replica(2, guest=GUEST)

FLAGS = {
    "as kubectl users write it": (["status", "dev", "-n", "team-a"], ["-n", "team-a", "status", "dev"]),
    "with an equals sign": (["why", "--context=lab", "dev"], ["--context=lab", "why", "dev"]),
    "nothing to move": (["-n", "team-a", "status", "dev"], ["-n", "team-a", "status", "dev"]),
    "a command's own words stay": (
        ["run", "dev-1", "-n", "t", "--", "ls", "-n", "x"],
        ["-n", "t", "run", "dev-1", "--", "ls", "-n", "x"],
    ),
    "a flag without a value is left to be refused": (["status", "dev", "-n"], ["status", "dev", "-n"]),
}


@pytest.mark.parametrize(("given", "wanted"), FLAGS.values(), ids=FLAGS.keys())
def test_flags_of_kubectl_may_stand_anywhere(given: list[str], wanted: list[str]) -> None:
    assert flags_first(given) == wanted


def test_a_login_trusts_only_the_keys_of_status() -> None:
    target = openssh.target(REACHABLE, "dev", ["StrictHostKeyChecking=accept-new"])
    words = openssh.login(target, "pinned", ["echo", "a b", "$HOME"])
    assert words.index("StrictHostKeyChecking=yes") < words.index("StrictHostKeyChecking=accept-new")
    assert "HostKeyAlias=dev-2" in words
    assert words[-2:] == ["dev@10.0.0.7", "echo 'a b' '$HOME'"]
    assert openssh.known_hosts([target]) == f"dev-2 {KEY}\n"


def test_a_clone_without_address_or_key_is_not_logged_in_to() -> None:
    with pytest.raises(KubectlError, match="dev-1 is not ready to log in to"):
        openssh.target(replica(1, guest={"addresses": ["10.0.0.7"]}), "dev")


@pytest.mark.parametrize("user", ["-oProxyCommand=x", "a b", ""])
def test_what_is_no_login_name_never_reaches_ssh(user: str) -> None:
    with pytest.raises(KubectlError, match="no login name"):
        openssh.target(REACHABLE, user)


def test_a_copy_names_the_clone_by_its_session() -> None:
    target = openssh.target(replica(2, guest=GUEST | {"addresses": ["fd00::7"]}), "dev")
    assert openssh.copy(target, "pinned", ["notes.txt", "dev-2:work/"])[-2:] == ["notes.txt", "dev@[fd00::7]:work/"]
    assert openssh.session_in(["notes.txt", "dev-2:work/"]) == "dev-2"


@pytest.mark.parametrize("words", [["a", "b"], ["dev-1:a", "dev-2:b"]], ids=["no clone", "two clones"])
def test_a_copy_is_between_here_and_one_clone(words: list[str]) -> None:
    with pytest.raises(KubectlError, match="SESSION:PATH"):
        openssh.session_in(words)


ERRORS = {
    "not there": ('Error from server (NotFound): vmclones "x" not found\n', NotFoundError),
    "not allowed": ('Error from server (Forbidden): vmclones is forbidden: User "u" cannot list\n', ForbiddenError),
    "no cluster": ("The connection to the server was refused\n", KubectlError),
}


@pytest.mark.parametrize(("stderr", "kind"), ERRORS.values(), ids=ERRORS.keys())
def test_a_refusal_is_told_by_the_reason_that_the_server_sent(stderr: str, kind: type[KubectlError]) -> None:
    assert type(_error(stderr)) is kind
