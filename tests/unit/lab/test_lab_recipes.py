"""Cache keys change with the recipe; rendered files say what the lab needs."""

import io
import json
import shutil
import tarfile
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from vmclone_lab import (
    agent,
    certificates,
    components,
    controlplane,
    domainxml,
    gotools,
    guestimage,
    kubeconfig,
    kvm,
    libvirtd,
    namespaces,
    node,
    packages,
    pauseimage,
    seed,
    sources,
    toml,
)
from vmclone_lab.errors import LabError
from vmclone_lab.layout import Layout

PATHS = Layout(state=Path("/s"), cache=Path("/c"))


def parsed(xml: str) -> ET.Element:
    return ET.fromstring(xml)  # noqa: S314 - our own text


SOURCE = domainxml.SourceDomain("vm1", "6b9cf2ae-0b9f-4a44-8d57-7ce8d0ed6d0a", 512, "slim", False)


@pytest.mark.parametrize("tool", gotools.TOOLS.values(), ids=lambda tool: tool.name)
def test_every_go_tool_is_pinned_by_version_and_sums(tool: gotools.GoTool) -> None:
    assert tool.version in (tool.folder / "go.mod").read_text()
    assert (tool.folder / "go.sum").stat().st_size > 0


def test_the_key_of_a_tool_changes_with_its_flags_and_version() -> None:
    tool = gotools.TOOLS["etcd"]
    keys = {tool.cache_key(), replace(tool, ldflags="").cache_key()}
    assert len(keys | {replace(tool, version="v9").cache_key()}) == 3


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.19 x", (1, 19)), ("no", None)],
)
def test_go_versions_are_read(text: str, version: tuple[int, int] | None) -> None:
    assert gotools.parse_go_version(text) == version


def test_a_major_version_is_not_the_name_of_a_program() -> None:
    assert gotools.go_output_name("go.etcd.io/etcd/server/v3") == "server"
    assert gotools.go_output_name("helm.sh/helm/v4/cmd/helm") == "helm"


def test_profiles_have_different_images_and_one_base() -> None:
    assert guestimage.image_key("slim") != guestimage.image_key("stock")
    with pytest.raises(LabError, match="slim, stock"):
        guestimage.image_key("other")


def test_a_tree_digest_sees_contents_and_link_targets(tmp_path: Path) -> None:
    tree = tmp_path / "a"
    shutil.copytree(guestimage.TREES / "slim", tree, symlinks=True)
    before = guestimage.tree_digest(tree)
    assert before == guestimage.tree_digest(guestimage.TREES / "slim")
    link = next(path for path in tree.rglob("*") if path.is_symlink())
    link.unlink()
    link.symlink_to("/elsewhere")
    assert guestimage.tree_digest(tree) != before


def test_an_image_carries_no_identity(tmp_path: Path) -> None:
    for folder in ("etc/ssh", "var/lib/dbus"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc/ssh/ssh_host_rsa_key").touch()
    guestimage.strip_identity(tmp_path)
    assert not list((tmp_path / "etc/ssh").iterdir())
    assert (tmp_path / "etc/machine-id").read_text() == ""


def test_only_stock_waits_for_the_network() -> None:
    wait = "etc/systemd/system/{}systemd-networkd-wait-online.service"
    wanted = guestimage.TREES / "stock" / wait.format("network-online.target.wants/")
    masked = guestimage.TREES / "slim" / wait.format("")
    assert wanted.is_symlink()
    assert str(masked.readlink()) == "/dev/null"


def test_parts_come_with_what_they_depend_on_in_starting_order() -> None:
    assert components.resolve(["node"]) == ("control-plane", "node")
    assert components.resolve(["guests"]) == ("libvirt", "guests")
    assert components.resolve(components.ALL) == components.ALL
    with pytest.raises(LabError, match="unknown part 'x'"):
        components.resolve(["x"])


def test_missing_packages_are_those_not_fully_installed() -> None:
    listing = "a install ok installed\nb deinstall ok config-files\nc:amd64 install ok installed\n"
    assert packages.missing_packages(["a", "b", "c", "d"], listing) == ["b", "d"]


def test_the_domain_boots_its_own_disk_and_a_read_only_virtio_seed() -> None:
    domain = parsed(domainxml.render(SOURCE))
    disks = domain.findall("devices/disk")
    assert domain.get("type") == "qemu"
    assert [target.get("bus") for target in domain.findall("devices/disk/target")] == ["virtio", "virtio"]
    assert [disk.find("readonly") is not None for disk in disks] == [False, True]
    assert domain.findtext("os/cmdline", "").startswith("root=LABEL=vmclone-root ")
    names = [item.get("name") for item in domain.findall("devices/channel/target")]
    assert names == ["org.qemu.guest_agent.0"]


def test_a_domain_uses_kvm_only_when_told() -> None:
    domain = parsed(domainxml.render(replace(SOURCE, kvm=True)))
    assert domain.get("type") == "kvm"
    assert [cpu.get("mode") for cpu in domain.findall("cpu")] == ["host-passthrough"]


def test_kvm_is_not_probed_without_its_device(tmp_path: Path) -> None:
    def boots(_kernel: Path) -> bool:
        raise AssertionError

    assert not kvm.usable(Path("k"), tmp_path, opens=lambda: False, boots=boots)


def test_the_kvm_verdict_is_probed_once(tmp_path: Path) -> None:
    probed: list[Path] = []

    def boots(kernel: Path) -> bool:
        probed.append(kernel)
        return True

    verdicts = [kvm.usable(Path("k"), tmp_path, opens=lambda: True, boots=boots) for _ in range(2)]
    assert (verdicts, probed) == ([True, True], [Path("k")])


def test_the_seed_makes_one_user_with_the_key() -> None:
    text = seed.user_data("ssh-ed25519 AAAA")
    assert text.startswith("#cloud-config\n")
    [user] = json.loads(text.partition("\n")[2])["users"]
    assert (user["name"], user["ssh_authorized_keys"]) == ("dev", ["ssh-ed25519 AAAA"])
    assert json.loads(seed.meta_data("vm1", "u"))["instance-id"] == "u"


def test_guests_can_be_reached_from_pods() -> None:
    forwards = parsed(libvirtd.network_xml()).findall("forward")
    assert [forward.get("mode") for forward in forwards] == ["open"]


def test_no_guest_waits_for_the_dhcp_server_to_look_whether_its_address_is_free() -> None:
    options = parsed(libvirtd.network_xml()).findall(f"{{{libvirtd.DNSMASQ}}}options/{{{libvirtd.DNSMASQ}}}option")
    assert [option.get("value") for option in options] == ["no-ping"]


def test_the_api_server_checks_and_audits_every_request() -> None:
    words = controlplane.api_server_argv(PATHS)
    assert "--authorization-mode=Node,RBAC" in words
    assert "--audit-log-path=/s/logs/audit.log" in words
    policy = json.loads(controlplane.audit_policy())
    assert policy["rules"] == [{"level": "Metadata"}]


def test_containerd_reads_what_is_rendered() -> None:
    document = node.containerd_config(PATHS)
    assert tomllib.loads(toml.render(document)) == document


def test_kubeconfigs_name_the_lab() -> None:
    document = json.loads(kubeconfig.render("a", "b", "c"))
    assert document["clusters"][0]["cluster"]["server"] == "https://10.90.0.1:6443"


def test_certificates_name_user_and_group() -> None:
    subject = certificates.Subject("n", "system:node:x", "system:nodes", ("IP:10.0.0.1",))
    assert subject.distinguished_name() == "/O=system:nodes/CN=system:node:x"
    assert "subjectAltName=IP:10.0.0.1" in subject.extensions()


def test_the_pause_image_is_a_loadable_archive() -> None:
    with tarfile.open(fileobj=io.BytesIO(pauseimage.docker_archive("n:1", b"\x7fELF"))) as archive:
        files = {name: member.read() for name in archive.getnames() if (member := archive.extractfile(name))}
    manifest = json.loads(files["manifest.json"])
    config = json.loads(files[manifest[0]["Config"]])
    assert manifest[0]["RepoTags"] == ["n:1"]
    assert config["config"]["User"] == "65535:65535"
    assert pauseimage.docker_archive("n:1", b"x") == pauseimage.docker_archive("n:1", b"x")


def test_commands_enter_both_namespaces_without_a_new_process() -> None:
    words = namespaces.enter_argv(PATHS.netns_file, 7, working_directory="/w")
    assert words[0] == "nsenter"
    assert {"--net=/run/netns/vmclone-lab", "--mount=/proc/7/ns/mnt", "--wdns=/w"} <= set(words)
    assert "--fork" not in words


def test_facts_are_read_from_libvirt_and_the_agent() -> None:
    assert sources.cpu_seconds("Domain: 'x'\n  cpu.time=39240000000\n  cpu.user=1\n") == 39.2
    interfaces = [
        {"name": "lo", "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1"}]},
        {"name": "enp1s0", "ip-addresses": [{"ip-address-type": "ipv6", "ip-address": "fe80::1"}]},
        {"name": "enp1s0", "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "10.0.0.7"}]},
    ]
    assert agent.ipv4_address(interfaces) == "10.0.0.7"
    assert agent.ipv4_address(interfaces[:2]) is None
