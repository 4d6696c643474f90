"""The kernel's command line: what is the source's alone goes, what would reach the source is refused."""

from __future__ import annotations

import pytest

from vmclone_operator.providers.libvirt.kernel_words import secret_words, without_own_words


@pytest.mark.parametrize(
    ("line", "left"),
    [
        pytest.param("root=/dev/vda ro  quiet", "root=/dev/vda ro  quiet", id="an ordinary line stays as it is"),
        pytest.param("a systemd.set_credential=x:secret b", "a b", id="a credential"),
        pytest.param('a systemd.set_credential="x:two words" b', "a b", id="a credential in quotes"),
        pytest.param("a systemd.set_credential_binary=x:c2VjcmV0", "a", id="a credential in base64"),
        pytest.param("systemd.machine_id=0123 systemd.hostname=h a", "a", id="an identity"),
        pytest.param("ds=nocloud;s=http://10.0.0.1/;h=h a", "a", id="a seed"),
        pytest.param("a cc: {users: [x]} end_cc b", "a b", id="cloud-config in the line"),
        pytest.param("a ignition.config.url=http://x b", "a b", id="Ignition"),
        pytest.param("ip=dhcp", "ip=dhcp", id="an address from the network"),
    ],
)
def test_what_is_the_sources_alone_is_left_out(line: str, left: str) -> None:
    assert without_own_words(line) == left


@pytest.mark.parametrize(
    "line",
    [
        "ip=10.0.0.9::10.0.0.1:255.255.255.0:h:eth0:off",
        "ip=[fd00::9]::[fd00::1]:64:h:eth0:none",
        "nfsroot=10.0.0.1:/r",
        "root=nfs:10.0.0.1:/r",
        "netroot=iscsi:10.0.0.1::::iqn",
        "rd.iscsi.initiator=iqn",
        "db_password=x",
        "api_key=x",
        "vault.token=x",
    ],
)
def test_what_would_reach_the_source_or_is_a_secret_is_refused_by_its_name(line: str) -> None:
    (sentence,) = secret_words(line)
    assert f"the VM has {line.partition('=')[0]}= on" in sentence


@pytest.mark.parametrize(
    "line",
    [
        "",
        "root=/dev/vda quiet",
        "ip=dhcp",
        "ip=eth0:dhcp",
        "ip=:::::eth0:dhcp",
        "systemd.set_credential=a:b",
        "tokenize",
    ],
)
def test_what_any_vm_may_have_is_no_reason(line: str) -> None:
    assert secret_words(line) == []
