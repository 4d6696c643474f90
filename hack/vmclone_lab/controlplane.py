"""Starts etcd, the API server, the controllers and the scheduler with real admission and RBAC.

Two cores must leave room for emulated guests: no leader election, no profiling, no fsync,
and no controllers for what the lab does not have (cloud, attachable volumes, CSRs).
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from vmclone_lab import certificates, kubeconfig, layout
from vmclone_lab.certificates import Subject
from vmclone_lab.progress import wait_for
from vmclone_lab.record import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

    from vmclone_lab.lab import Lab
    from vmclone_lab.layout import Layout

API_SERVER = "kube-apiserver"
CONTROLLERS = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
ETCD = "etcd"
ETCD_URL = "http://127.0.0.1:2379"
START_SECONDS = 90
LEASE_SECONDS = 200
UNNEEDED_CONTROLLERS = (
    "certificatesigningrequest-approving-controller",
    "certificatesigningrequest-cleaner-controller",
    "certificatesigningrequest-signing-controller",
    "cloud-node-lifecycle-controller",
    "device-taint-eviction-controller",
    "ephemeral-volume-controller",
    "legacy-serviceaccount-token-cleaner-controller",
    "node-ipam-controller",
    "node-route-controller",
    "persistentvolume-attach-detach-controller",
    "persistentvolume-expander-controller",
    "podcertificaterequest-cleaner-controller",
    "podgroup-protection-controller",
    "replicationcontroller-controller",
    "resourceclaim-controller",
    "resourcepoolstatusrequest-controller",
    "service-lb-controller",
    "storage-version-migrator-controller",
    "storageversion-garbage-collector-controller",
    "ttl-controller",
    "volumeattributesclass-protection-controller",
)
SUBJECTS = (
    Subject(
        "apiserver",
        "kube-apiserver",
        alternative_names=(
            f"IP:{layout.NODE_ADDRESS}",
            f"IP:{layout.SERVICE_API_ADDRESS}",
            "IP:127.0.0.1",
            "DNS:localhost",
            "DNS:kubernetes",
            "DNS:kubernetes.default",
            "DNS:kubernetes.default.svc",
            "DNS:kubernetes.default.svc.cluster.local",
        ),
    ),
    Subject("kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
    Subject("admin", "vmclone-lab-admin", "system:masters"),
    Subject("controllers", "system:kube-controller-manager"),
    Subject("scheduler", "system:kube-scheduler"),
    Subject("node", f"system:node:{layout.NODE_NAME}", "system:nodes"),
    Subject("proxy", "system:kube-proxy"),
)
KUBECONFIGS = ("controllers", "scheduler", "node", "proxy")


def audit_policy() -> str:
    """Return the policy: every request's metadata, once, when it is answered or begins to stream."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    }
    return json.dumps(policy, indent=2) + "\n"


def etcd_argv(paths: Layout) -> list[str]:
    """Return the command line of etcd: one member, no fsync, loopback of the namespace."""
    peer = "http://127.0.0.1:2380"
    return [
        str(paths.bin / ETCD),
        "--name=lab",
        f"--data-dir={paths.state / 'etcd'}",
        f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=lab={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server_argv(paths: Layout) -> list[str]:
    """Return the command line of the API server."""
    pki = paths.pki
    return [
        str(paths.bin / API_SERVER),
        f"--etcd-servers={ETCD_URL}",
        f"--advertise-address={layout.NODE_ADDRESS}",
        f"--secure-port={layout.API_PORT}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={pki / 'service-accounts.key'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={layout.SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--audit-log-path={paths.audit_log}",
        f"--audit-policy-file={paths.config / 'audit-policy.json'}",
        "--audit-log-maxsize=1024",
        "--profiling=false",
    ]


def controllers_argv(paths: Layout) -> list[str]:
    """Return the command line of the controller manager."""
    pki = paths.pki
    names = ["*", *(f"-{name}" for name in UNNEEDED_CONTROLLERS)]
    return [
        str(paths.bin / CONTROLLERS),
        f"--kubeconfig={paths.config / 'controllers.kubeconfig'}",
        f"--controllers={','.join(names)}",
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={pki / 'service-accounts.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--node-monitor-grace-period={2 * LEASE_SECONDS}s",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--profiling=false",
    ]


def scheduler_argv(paths: Layout) -> list[str]:
    """Return the command line of the scheduler."""
    return [
        str(paths.bin / SCHEDULER),
        f"--kubeconfig={paths.config / 'scheduler.kubeconfig'}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        "--profiling=false",
    ]


def ensure_certificates(paths: Layout) -> None:
    """Make the CA, all certificates and all kubeconfigs; key making fills both cores."""
    pki = paths.pki
    certificates.ensure_authority(pki, "vmclone-lab")
    with ThreadPoolExecutor(max_workers=4) as pool:
        keys = [pki / f"{subject.name}.key" for subject in SUBJECTS]
        list(pool.map(certificates.make_key, [*keys, pki / "service-accounts.key"]))
    for subject in SUBJECTS:
        certificates.ensure_certificate(pki, subject)
    for name in KUBECONFIGS:
        kubeconfig.ensure(paths.config / f"{name}.kubeconfig", pki, name)
    kubeconfig.ensure(paths.kubeconfig, pki, "admin")


def start(lab: Lab) -> None:
    """Start all four without waiting for them."""
    paths = lab.paths
    ensure_certificates(paths)
    write_atomically(paths.config / "audit-policy.json", audit_policy())
    lab.start(ETCD, etcd_argv(paths))
    lab.start(API_SERVER, api_server_argv(paths))
    lab.start(CONTROLLERS, controllers_argv(paths))
    lab.start(SCHEDULER, scheduler_argv(paths))


def kubectl(lab: Lab, *words: str | Path) -> list[str]:
    """Return a kubectl command line for the administrator."""
    return ["kubectl", f"--kubeconfig={lab.paths.kubeconfig}", *(str(word) for word in words)]


def answers(lab: Lab) -> bool:
    """Tell whether the API server calls itself ready."""
    probe = kubectl(lab, "get", "--raw=/readyz", "--request-timeout=5s")
    return lab.attempt_inside(probe, timeout_seconds=20).stdout.strip() == "ok"


def wait(lab: Lab) -> None:
    """Wait until a pod could be made: API ready, `default` service account there."""
    wait_for(
        "the API server",
        lambda: answers(lab),
        START_SECONDS,
        log=lab.log(API_SERVER),
        alive=lambda: lab.is_running(API_SERVER) and lab.is_running(ETCD),
    )
    account = kubectl(lab, "get", "serviceaccount", "default", "--namespace=default")
    wait_for(
        "the controllers",
        lambda: lab.attempt_inside(account, timeout_seconds=20).returncode == 0,
        START_SECONDS,
        log=lab.log(CONTROLLERS),
        alive=lambda: lab.is_running(CONTROLLERS),
    )
