"""System places: each family's registrations and passwords go, and what has to stay goes on without them."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.resources import files
from pathlib import Path

import pytest
from tests.support import source_disk
from tests.support.canaries import WORD
from tests.support.source_disk import ENGINES, request

from vmclone_operator import homecopy
from vmclone_operator.domain import guest

SECRET = "Xq7-" + WORD
KEY = f"-----BEGIN OPENSSH PRIVATE{' '}KEY-----\n{'b3BlbnNzaC1rZXktdjEAAAAABG5vbmU' * 3}\n# {SECRET}\n"

GOES = {
    "wpa_supplicant": ("etc/wpa_supplicant/wpa_supplicant.conf", f'network={{\n ssid="x"\n psk="{SECRET}"\n}}\n'),
    "wpa_supplicant of an interface": ("etc/wpa_supplicant/wpa_supplicant-wlan0.conf", f'password="{SECRET}"\n'),
    "iwd": ("var/lib/iwd/office.psk", f"[Security]\nPassphrase={SECRET}\n"),
    "iwd, 802.1x": ("var/lib/iwd/corp.8021x", f"[Security]\nEAP-Identity-Password={SECRET}\n"),
    "connman": ("var/lib/connman/wifi_x/settings", f"[wifi]\nPassphrase={SECRET}\n"),
    "NetworkManager, wifi": ("etc/NetworkManager/system-connections/w.nmconnection", f"type=wifi\npsk={SECRET}\n"),
    "ifcfg, keys": ("etc/sysconfig/network-scripts/keys-office", f"WPA_PSK='{SECRET}'\n"),
    "wicked": ("var/lib/wicked/duid.xml", SECRET),
    "systemd-networkd": ("etc/systemd/network/wg0.netdev", f"[WireGuard]\nPrivateKey={SECRET}\n"),
    "ppp": ("etc/ppp/chap-secrets", f"user * {SECRET} *\n"),
    "crontab of a user, Debian": ("var/spool/cron/crontabs/dev", f"0 1 * * * curl -u a:{SECRET} x\n"),
    "crontab of a user, Red Hat": ("var/spool/cron/dev", f"0 1 * * * X={SECRET} y\n"),
    "at": ("var/spool/cron/atjobs/a0001a01abcdef", SECRET),
    "mail": ("var/mail/dev", f"Subject: {SECRET}\n"),
    "mail in its old place": ("var/spool/mail/dev", f"Subject: {SECRET}\n"),
    "queue of Postfix": ("var/spool/postfix/deferred/A/A1B2", SECRET),
    "key in /tmp": ("tmp/deploy", KEY),
    "key in /var/tmp": ("var/tmp/backup/id_ed25519", KEY),
    "ticket": ("tmp/krb5cc_1000", SECRET),
    "GitHub runner": ("usr/local/actions-runner/.credentials", SECRET),
    "GitHub runner on a data disk": ("data/runners/one/.credentials_rsaparams", SECRET),
    "GitLab runner": ("etc/gitlab-runner/config.toml", f"token = '{SECRET}'\n"),
    "Buildkite": ("etc/buildkite-agent/buildkite-agent.cfg", f'token="{SECRET}"\n'),
    "Azure Pipelines": ("opt/azagent/.agent", SECRET),
    "Jenkins agent": ("var/lib/jenkins-agent/secret-file", SECRET),
    "CircleCI": ("etc/circleci-runner/circleci-runner-config.yaml", SECRET),
    "Woodpecker": ("etc/woodpecker/woodpecker-agent.env", SECRET),
    "Drone": ("etc/drone-runner-docker/config", SECRET),
    "TeamCity": ("opt/teamcity/buildAgent/conf/buildAgent.properties", f"authorizationToken={SECRET}\n"),
    "Forgejo": ("var/lib/forgejo-runner/.runner", SECRET),
    "act_runner": ("srv/act_runner/.runner", SECRET),
    "iSCSI, nodes with CHAP": ("etc/iscsi/nodes/iqn.x/10.0.0.1,3260,1/default", SECRET),
    "waagent, custom data": ("var/lib/waagent/CustomData", SECRET),
    "waagent, custom script": ("var/lib/waagent/custom-script/download/0/x.sh", SECRET),
    "VPN: OpenVPN": ("etc/openvpn/client/auth.txt", SECRET),
    "VPN: WireGuard": ("etc/wireguard/wg0.conf", SECRET),
    "VPN: strongSwan": ("etc/swanctl/private/a.pem", SECRET),
    "VPN: Tailscale": ("var/lib/tailscale/tailscaled.state", SECRET),
    "VPN: ZeroTier": ("var/lib/zerotier-one/identity.secret", SECRET),
    "VPN: Nebula": ("etc/nebula/host.key", SECRET),
    "VPN: NetBird": ("var/lib/netbird/config.json", SECRET),
    "VPN: cloudflared": ("etc/cloudflared/credentials.json", SECRET),
    "VPN: WARP": ("var/lib/cloudflare-warp/reg.json", SECRET),
    "kubeadm": ("etc/kubernetes/admin.conf", SECRET),
    "k3s": ("var/lib/rancher/k3s/server/node-token", SECRET),
    "RKE2": ("etc/rancher/rke2/config.yaml", SECRET),
    "MicroK8s": ("var/snap/microk8s/7000/credentials/client.config", SECRET),
    "Puppet": ("etc/puppetlabs/puppet/ssl/private_keys/a.pem", SECRET),
    "Salt": ("etc/salt/pki/minion/minion.pem", SECRET),
    "Chef": ("etc/chef/client.pem", SECRET),
    "ansible-pull": ("etc/ansible/.vault_pass", SECRET),
    "Docker": ("etc/docker/key.json", SECRET),
    "Podman": ("etc/containers/auth.json", SECRET),
    "Landscape": ("etc/landscape/client.conf", SECRET),
    "Ubuntu Pro": ("var/lib/ubuntu-advantage/private/machine-token.json", SECRET),
    "RHSM": ("etc/pki/consumer/key.pem", SECRET),
    "Insights": ("etc/insights-client/machine-id", SECRET),
    "SSSD": ("var/lib/sss/secrets/secrets.ldb", SECRET),
    "FreeIPA": ("var/lib/ipa-client/pki/ca.pem", SECRET),
    "keytab": ("etc/httpd/conf/http.keytab", SECRET),
    "Samba": ("var/lib/samba/private/secrets.tdb", SECRET),
    "Postfix, sasl": ("etc/postfix/sasl_passwd", f"[x]:587 u:{SECRET}\n"),
    "exim": ("etc/exim4/passwd.client", SECRET),
    "msmtp": ("etc/msmtprc", SECRET),
    "Datadog": ("etc/datadog-agent/datadog.yaml", SECRET),
    "New Relic": ("etc/newrelic-infra.yml", SECRET),
    "crash dump": ("var/crash/202611/vmcore", SECRET),
    "core": ("var/lib/systemd/coredump/core.x.zst", SECRET),
    "history of a system user": ("var/lib/postgresql-common/.psql_history", SECRET),
    "key of a system user": ("var/www/.ssh/id_rsa", SECRET),
    "TLS": ("etc/ssl/private/web.key", SECRET),
    "debconf": ("var/cache/debconf/passwords.dat", SECRET),
}
MASKED = {
    "NetworkManager, 802.1x on a wire": (
        "etc/NetworkManager/system-connections/lan.nmconnection",
        "[connection]\ntype=ethernet\n[802-1x]\nidentity=dev\npassword=@\n[ipv4]\nmethod=auto\n",
    ),
    "NetworkManager, gsm": (
        "etc/NetworkManager/system-connections/gsm.nmconnection",
        "[connection]\ntype=gsm\n[gsm]\napn=internet\npassword=@\npin=@\n",
    ),
    "netplan": (
        "etc/netplan/60-wifi.yaml",
        'network:\n  ethernets:\n    eth0: {dhcp4: true}\n  wifis:\n    w0: {access-points: {"x": {password: "@"}}}\n',
    ),
    "ifupdown": (
        "etc/network/interfaces",
        "auto eth0\niface eth0 inet dhcp\niface wlan0 inet dhcp\n    wpa-psk @\n    wireless-key @\n",
    ),
    "ifcfg of wicked": ("etc/sysconfig/network/ifcfg-wlan0", "BOOTPROTO='dhcp'\nWIRELESS_WPA_PSK='@'\n"),
    "fstab": ("etc/fstab", "/dev/vda1 / ext4 defaults 0 1\n//nas/x /mnt cifs username=u,password=@,vers=3 0 0\n"),
    "iscsid": ("etc/iscsi/iscsid.conf", "node.startup = manual\nnode.session.auth.password = @\n"),
    "debian-sys-maint": ("etc/mysql/debian.cnf", "[client]\nuser = debian-sys-maint\npassword = @\nsocket = /run/x\n"),
    "Grafana agent": ("etc/grafana-agent.yaml", 'metrics:\n  basic_auth:\n    username: 1\n    password: "@"\n'),
    "SSSD, bind password": ("etc/sssd/sssd.conf", "[domain/x]\nid_provider = ldap\nldap_default_authtok = @\n"),
    "printer": ("etc/cups/printers.conf", "<Printer a>\nDeviceURI smb://u:SECRET-AT-host/x\n</Printer>\n"),
    "proxy of apt": ("etc/apt/apt.conf.d/90proxy", 'Acquire::http::Proxy "http://u:SECRET-AT-proxy:3128/";\n'),
    "containerd": ("etc/containerd/config.toml", 'version = 2\n[plugins.x.auth]\npassword = "@"\n'),
    "two secrets in a line of a unit": (
        "etc/systemd/system/agent.service.d/x.conf",
        '[Service]\nEnvironment="A_TOKEN=@" MODE=fast B_SECRET=@\n',
    ),
    "token of a unit": (
        "etc/systemd/system/tunnel.service",
        "[Service]\nExecStart=/bin/x run --token @\nType=notify\n",
    ),
}
STAYS = {
    "etc/crontab": "17 * * * * root run-parts /etc/cron.hourly\n",
    "etc/NetworkManager/system-connections/wired.nmconnection": "[connection]\ntype=ethernet\n",
    "etc/netplan/50-lan.yaml": "network:\n  ethernets:\n    eth0: {dhcp4: true}\n",
    "var/spool/cron/atjobs/.SEQ": "00001\n",
    "opt/app/config.yml": "a: 1\n",
    "tmp/build.log": "fine\n",
    "etc/grafana-agent/agent.river": 'password = "$PASSWORD"\nsecret = true\n',
    "etc/iscsi/initiatorname.iscsi": "InitiatorName=iqn.1993-08.org.debian:01:x\n",
}


def filled(text: str, secret: str) -> str:
    """Return the file with a secret in it."""
    return text.replace("SECRET-AT-", f"{secret}@") if "SECRET-AT-" in text else text.replace("@", secret)


@pytest.fixture(scope="module")
def scrubbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A disk with all of it, after each engine."""
    disks = {}
    for engine, run in ENGINES.items():
        root = disks[engine] = tmp_path_factory.mktemp(engine)
        masked = {path: filled(text, SECRET) for path, text in MASKED.values()}
        for path, text in {**dict(GOES.values()), **masked, **STAYS, "etc/passwd": source_disk.PASSWD}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        answer = run(root, request())
        assert (answer["scrub_state"], answer["scrub_left"]) == ("done", "0"), answer
    return disks


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", GOES)
def test_each_family_goes(scrubbed: dict[str, Path], engine: str, family: str) -> None:
    assert not (scrubbed[engine] / GOES[family][0]).exists()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", MASKED)
def test_a_file_that_has_to_stay_keeps_all_but_the_secret(scrubbed: dict[str, Path], engine: str, family: str) -> None:
    path, text = MASKED[family]
    zeros = re.sub(r"[^ ]", "0", SECRET)
    assert (scrubbed[engine] / path).read_text() == filled(text, zeros)


@pytest.mark.parametrize("engine", ENGINES)
def test_no_canary_is_left_and_what_holds_none_is_as_it_was(scrubbed: dict[str, Path], engine: str) -> None:
    assert source_disk.holding(scrubbed[engine], WORD) == []
    assert {path: (scrubbed[engine] / path).read_text() for path in STAYS} == STAYS


def test_both_engines_leave_the_same_disk(scrubbed: dict[str, Path]) -> None:
    disks = [
        {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in scrubbed.values()
    ]
    assert disks[0] == disks[1]


def test_every_group_of_the_list_says_where_its_names_come_from() -> None:
    documents = json.loads(files(homecopy.__name__).joinpath("scrub_list.json").read_text())["system"]
    assert [document["group"] for document in documents if not document.get("source")] == []
    assert {"network", "crontabs", "mail", "temporary", "ci-runners", "storage", "cloud-init"} <= {
        document["group"] for document in documents
    }


@pytest.mark.parametrize("uuid", ["4c4c4544-0042-3510-8052-b9c04f4e4d31"])
def test_f17_a_clone_has_storage_names_of_its_own(tmp_path: Path, uuid: str) -> None:
    """The worker's own function, in a folder instead of the guest's /."""
    for name, text in {
        "etc/iscsi/initiatorname.iscsi": "# made once\nInitiatorName=iqn.1994-05.com.redhat:5eed5eed\n",
        "etc/nvme/hostnqn": "nqn.2014-08.org.nvmexpress:uuid:source\n",
        "etc/nvme/hostid": "source\n",
        "sys/class/dmi/id/product_uuid": uuid + "\n",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    worker = files(guest.__package__).joinpath("guest_scripts/identity_worker.sh").read_text()
    functions = worker[: worker.index("\ntrap unexpected_end")]
    script = re.sub(r"(?<![\w.])/(etc|sys)/", rf"{tmp_path}/\1/", functions) + "\nnew_storage_names\n"
    for _ in range(2):
        subprocess.run(["dash", "-eu", "-c", script], check=True)
        names = [
            (tmp_path / "etc" / name).read_text()
            for name in ("iscsi/initiatorname.iscsi", "nvme/hostnqn", "nvme/hostid")
        ]
        assert names == [
            "InitiatorName=iqn.1994-05.com.redhat:b9c04f4e4d31\n",
            f"nqn.2014-08.org.nvmexpress:uuid:{uuid}\n",
            f"{uuid}\n",
        ]


def test_a_machine_without_such_names_gets_none(tmp_path: Path) -> None:
    worker = files(guest.__package__).joinpath("guest_scripts/identity_worker.sh").read_text()
    script = re.sub(r"(?<![\w.])/(etc|sys)/", rf"{tmp_path}/\1/", worker[: worker.index("\ntrap unexpected_end")])
    subprocess.run(["dash", "-c", f"{script}\nmachine_id={'5eed' * 8}\nnew_storage_names\n"], check=True)
    assert list(tmp_path.iterdir()) == []
