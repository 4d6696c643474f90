"""The operator as a team installs it: images into the node, Secrets into its namespace, the chart with Helm."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmclone_demo.cluster import ROOT, give, in_lab, lab_status

NAMESPACE = "vmclone-system"
RELEASE = "vmclone"
HYPERVISOR, HOME_KEY = "lab-libvirt", "golden-dev-ssh"
_CHART = ROOT / "charts" / "vmclone-operator"


def build_images() -> dict[str, str]:
    """Return the names of this checkout's images by their value in the chart; the node has them then."""
    command = [str(ROOT / "hack" / "images" / "build"), "--load", "operator", "home-copy"]
    built = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    return dict(zip(("image", "homeCopy.image"), built, strict=True))


def make_namespace() -> None:
    """Make the operator's namespace, where Pod Security is enforced."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    give({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})


def prepare() -> None:
    """Make the operator's namespace, and the hypervisor's credentials in it."""
    make_namespace()
    folder = Path(lab_status()["libvirt"]["clientPKI"])
    files = {"tls.crt": "clientcert.pem", "tls.key": "clientkey.pem", "ca.crt": "cacert.pem"}
    give_secret(HYPERVISOR, {key: (folder / name).read_bytes() for key, name in files.items()})


def give_home_key(source: Mapping[str, Any]) -> None:
    """Give the operator the key that opens the source's home."""
    give_secret(HOME_KEY, {"ssh-privatekey": Path(source["keyFile"]).read_bytes()})


def install(images: Mapping[str, str]) -> None:
    """Install or upgrade the chart with the images of this checkout, and wait until it is ready."""
    settings = {"image.pullPolicy": "Never"}
    for value, name in images.items():
        settings[f"{value}.repository"], _, settings[f"{value}.tag"] = name.rpartition(":")
    values = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    place = ["--namespace", NAMESPACE, "--take-ownership", "--force-conflicts", "--wait", "--timeout", "180s"]
    in_lab("helm", "upgrade", "--install", RELEASE, str(_CHART), *values, *place)
    print(in_lab("kubectl", "-n", NAMESPACE, "get", "pods").rstrip())


def remove() -> None:
    """Uninstall the operator though VMClones exist: its rights and its policy go, the clones wait for the next one."""
    if RELEASE in in_lab("helm", "list", "--namespace", NAMESPACE, "--short").split():
        in_lab("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--no-hooks", "--wait", "--timeout", "60s")


def give_secret(name: str, files: Mapping[str, bytes]) -> None:
    """Give the operator a Secret."""
    data = {key: base64.b64encode(content).decode() for key, content in files.items()}
    meta = {"name": name, "namespace": NAMESPACE}
    give({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": data})
