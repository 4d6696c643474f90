"""The lab on this very machine: what it promises to people and to all other tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from vmclone_lab import guestimage, layout, pauseimage, processes
from vmclone_lab.layout import Layout
from vmclone_lab.progress import wait_for

LAB = Path(__file__).resolve().parents[3] / "hack" / "lab"
CACHE = Layout.from_environment(os.environ).cache
pytestmark = pytest.mark.integration


def lab(*words: str, env: Mapping[str, str] | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(
        [str(LAB), *words], capture_output=True, text=True, check=False, env={**os.environ, **(env or {})}
    )
    assert not check or result.returncode == 0, result.stderr
    return result


def kubectl(*words: str, document: dict[str, Any] | None = None) -> str:
    argv = [str(LAB), "exec", "--", "kubectl", *words]
    text = None if document is None else json.dumps(document)
    result = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture(scope="module", autouse=True)
def status() -> dict[str, Any]:
    lab("up")
    return dict(json.loads(lab("status", "--json").stdout))


@pytest.fixture
def restricted_namespace() -> Iterator[str]:
    name = f"lab-{uuid.uuid4().hex[:8]}"
    label = {"pod-security.kubernetes.io/enforce": "restricted"}
    kubectl(
        "create",
        "--filename=-",
        document={"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": label}},
    )
    account = ["get", "serviceaccount", "default", f"--namespace={name}"]
    wait_for("the service account", lambda: not lab("exec", "--", "kubectl", *account, check=False).returncode, 20)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


def pause_pod(namespace: str) -> dict[str, Any]:
    context = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "pause",
        "image": pauseimage.NAME,
        "imagePullPolicy": "Never",
        "securityContext": context,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pause", "namespace": namespace},
        "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
    }


def test_a_second_up_keeps_every_process(status: dict[str, Any]) -> None:
    lab("up")
    again = json.loads(lab("status", "--json").stdout)
    assert again["up"]
    assert again["processes"] == status["processes"]


def test_a_restricted_pod_runs_on_the_ready_node(restricted_namespace: str) -> None:
    kubectl("create", "--filename=-", document=pause_pod(restricted_namespace))
    kubectl("wait", "pod/pause", f"--namespace={restricted_namespace}", "--for=condition=Ready", "--timeout=60s")


def test_a_pod_that_asks_for_more_than_restricted_is_refused(restricted_namespace: str) -> None:
    pod = pause_pod(restricted_namespace)
    pod["spec"]["hostNetwork"] = True
    argv = [str(LAB), "exec", "--", "kubectl", "create", "--filename=-"]
    refused = subprocess.run(argv, input=json.dumps(pod), capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert 'violates PodSecurity "restricted' in refused.stderr


def test_the_audit_log_tells_who_did_what(status: dict[str, Any]) -> None:
    mark = f"/api/v1/namespaces/default/configmaps?labelSelector=a%3D{uuid.uuid4().hex}"
    kubectl("get", f"--raw={mark}")
    lines = Path(status["auditLog"]).read_text().splitlines()
    event = next(json.loads(line) for line in reversed(lines) if mark in line)
    assert (event["verb"], event["objectRef"]["resource"]) == ("list", "configmaps")
    assert event["user"]["username"] == "vmclone-lab-admin"
    assert event["userAgent"].startswith("kubectl")


def test_exec_gives_back_the_exit_status_and_passes_standard_input() -> None:
    assert lab("exec", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    argv = [str(LAB), "exec", "--", "cat"]
    assert subprocess.run(argv, input=b"text", capture_output=True, check=True).stdout == b"text"


def test_a_signal_to_exec_reaches_the_command() -> None:
    child = subprocess.Popen([str(LAB), "exec", "--", "sleep", "1000"])
    comm = Path(f"/proc/{child.pid}/comm")
    wait_for("sleep", lambda: comm.read_text().strip() == "sleep", 20)
    child.send_signal(signal.SIGTERM)
    assert child.wait(10) == -signal.SIGTERM


def test_libvirt_answers_on_its_socket_and_over_tls(status: dict[str, Any]) -> None:
    libvirt = status["libvirt"]
    secure = f"{libvirt['tlsURI']}?pkipath={libvirt['clientPKI']}"
    for uri in (libvirt["uri"], secure):
        pools = lab("exec", "--", "virsh", "--connect", uri, "pool-list", "--name").stdout.split()
        assert pools == [libvirt["pool"]]


def test_libvirt_over_tls_refuses_a_client_without_a_certificate(status: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "cacert.pem").write_bytes((Path(status["libvirt"]["clientPKI"]) / "cacert.pem").read_bytes())
    uri = f"{status['libvirt']['tlsURI']}?pkipath={tmp_path}"
    assert lab("exec", "--", "virsh", "--connect", uri, "list", check=False).returncode != 0


@pytest.mark.parametrize("profile", guestimage.PROFILES)
def test_the_guest_image_is_built(profile: str) -> None:
    folder = Path(lab("build", f"guest-{profile}").stdout.strip())
    assert {path.name for path in folder.iterdir()} == set(guestimage.PARTS)


def test_a_source_that_stays_off_is_a_full_disk_of_its_own() -> None:
    name = f"off-{uuid.uuid4().hex[:8]}"
    try:
        words = ("source", name, "--off", "--disk-mib", "1500")
        made = json.loads(lab(*words).stdout)
        assert json.loads(lab(*words).stdout) == made
        disk = f"{layout.POOL_PATH}/{name}.qcow2"
        info = json.loads(lab("exec", "--", "qemu-img", "info", "--output=json", disk).stdout)
        assert (made["state"], made["booted"], "address" in made) == ("shut off", False, False)
        assert info["virtual-size"] == 1500 * 1024 * 1024
        assert "backing-filename" not in info
    finally:
        lab("exec", "--", "virsh", "undefine", name, check=False)
        for volume in (f"{name}.qcow2", f"{name}-seed.img"):
            lab("exec", "--", "virsh", "vol-delete", "--pool", layout.POOL_NAME, volume, check=False)


def lines_about(name: str, state: Path) -> set[str]:
    """Everything on the machine that could be left of a lab of this name."""
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found = {line for line in mounts if name in line or str(state) in line}
    found |= {f"link {link.name}" for link in Path("/sys/class/net").iterdir()}
    found |= {f"cgroup {path}" for path in processes.cgroup_directories(name)}
    fixed = (*layout.PRIVATE_DIRECTORIES, "/opt/containerd", "/run/xtables.lock", "/run/netns")
    found |= {f"file {path}" for path in fixed if Path(path).exists()}
    found |= {f"file {path}" for path in Path("/run/netns").glob("*")} if Path("/run/netns").exists() else set()
    return found | {f"file {state}" for _ in range(state.exists())}


def living_commands(text: str) -> list[str]:
    """Command lines of processes that hold `text`; ended ones have none."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            if text in command:
                found.append(command)
    return found


@pytest.mark.lab_down
def test_down_leaves_nothing(tmp_path: Path) -> None:
    """A second lab beside the first, taken down with a guest and a foreign command running in it."""
    name = "vmclone-second"
    state = tmp_path / name
    env = {"VMCLONE_LAB_NAME": name, "VMCLONE_LAB_STATE": str(state), "VMCLONE_CACHE": str(CACHE)}
    before = lines_about(name, state)
    try:
        lab("up", env=env)
        lab("source", "vm1", "--off", env=env)
        lab("exec", "--", "virsh", "start", "vm1", env=env)
        sleeper = subprocess.Popen([str(LAB), "exec", "--", "sleep", "1000"], env={**os.environ, **env})
        comm = Path(f"/proc/{sleeper.pid}/comm")
        wait_for("sleep", lambda: comm.read_text().strip() == "sleep", 20)
    finally:
        lab("down", env=env)
    sleeper.wait(10)
    assert living_commands(str(state)) == []
    assert lines_about(name, state) == before
    assert "down already" in lab("down", env=env).stderr
