"""Builds the pinned Go programs of the lab from the module proxy into the cache.

Why source builds: no image registry and no download site is needed, only Go modules; each
folder under gobuild/ pins one module tree by go.mod and go.sum.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vmclone_lab import packages
from vmclone_lab.commands import run
from vmclone_lab.errors import LabError
from vmclone_lab.progress import step

GOBUILD = Path(__file__).parent / "gobuild"
MINIMUM_GO = (1, 25)
"""From here on Go fetches the newer toolchain that a go.mod asks for by itself."""
TOOLCHAIN = "v0.0.1-go1.26.8.linux-amd64"
KUBERNETES = "v1.36.3"
ARGO_CD = "v3.1.16"
_VERSION_PACKAGE = "k8s.io/component-base/version"


@dataclass(frozen=True)
class GoTool:
    """One module tree and the commands built from it."""

    name: str
    version: str
    commands: dict[str, str]
    """File name in the cache -> import path."""
    ldflags: str = "-s -w"
    source: str = ""
    """A module that is built within its own source tree: below its own replacements and its own go.sum."""
    tested: str = ""
    """The package of such a source tree whose tests are compiled in the lab."""

    @property
    def folder(self) -> Path:
        """Where its go.mod and go.sum are."""
        return GOBUILD / self.name

    def cache_key(self) -> str:
        """Name the result by everything that decides it."""
        digest = hashlib.sha256()
        own = self.folder.glob("main.go")  # of a program that is written here; its edits count as well
        for file in (self.folder / "go.mod", self.folder / "go.sum", *own):
            digest.update(file.read_bytes())
        digest.update(repr((sorted(self.commands.items()), self.ldflags)).encode())
        return f"{self.name}-{self.version}-{digest.hexdigest()[:12]}"

    def is_built(self, cache: Path) -> bool:
        """Tell whether all commands are in the cache."""
        return (cache / self.cache_key()).is_dir()


TOOLS = {
    tool.name: tool
    for tool in (
        GoTool(
            "kubernetes",
            KUBERNETES,
            {
                name: f"k8s.io/kubernetes/cmd/{name}"
                for name in (
                    "kube-apiserver",
                    "kube-controller-manager",
                    "kube-proxy",
                    "kube-scheduler",
                    "kubectl",
                    "kubelet",
                )
            },
            " ".join(
                (
                    "-s -w",
                    f"-X {_VERSION_PACKAGE}.gitVersion={KUBERNETES}",
                    f"-X {_VERSION_PACKAGE}.gitMajor=1",
                    f"-X {_VERSION_PACKAGE}.gitMinor=36",
                )
            ),
        ),
        GoTool("etcd", "v3.6.16", {"etcd": "go.etcd.io/etcd/server/v3"}),
        GoTool("helm", "v4.3.1", {"helm": "helm.sh/helm/v4/cmd/helm"}),
        GoTool("kubeconform", "v0.8.0", {"kubeconform": "github.com/yannh/kubeconform/cmd/kubeconform"}),
        GoTool("actionlint", "v1.7.12", {"actionlint": "github.com/rhysd/actionlint/cmd/actionlint"}),
        GoTool("armjudge", "v8.4.0", {"armjudge": "vmclone.example/gobuild/armjudge"}),
        GoTool(
            "argocd",
            ARGO_CD,
            {"argocd": "github.com/argoproj/argo-cd/v3/cmd"},
            f"-s -w -X github.com/argoproj/argo-cd/v3/common.version={ARGO_CD.removeprefix('v')}",
            source="github.com/argoproj/argo-cd/v3",
            tested="./util/lua",
        ),
        GoTool("kstatus", "v1.3.0", {"kstatus": "vmclone.example/gobuild/kstatus"}),
    )
}


def parse_go_version(text: str) -> tuple[int, int] | None:
    """Return (1, 26) for the output of `go version`."""
    found = re.search(r"\bgo(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def find_go() -> str:
    """Return a go command that is new enough, fetching a toolchain through the proxy if needed."""
    present = shutil.which("go")
    if present is not None:
        local = {**os.environ, "GOTOOLCHAIN": "local"}
        version = parse_go_version(run([present, "version"], env=local))
        if version is not None and version >= MINIMUM_GO:
            return present
    else:
        packages.ensure(packages.GO)
        present = shutil.which("go")
    if present is None:
        raise LabError("no go command, although Debian's golang-go is installed")
    return str(_fetch_toolchain(present))


def _fetch_toolchain(old_go: str) -> Path:
    """Unpack the pinned toolchain module; Debian's old go can not switch to it by itself."""
    with tempfile.TemporaryDirectory() as folder:
        # An own empty module: an old go refuses to read a newer go.mod around it.
        run([old_go, "mod", "init", "vmclone.example/toolchain"], cwd=Path(folder))
        run([old_go, "mod", "download", f"golang.org/toolchain@{TOOLCHAIN}"], cwd=Path(folder))
        cache = run([old_go, "env", "GOMODCACHE"], cwd=Path(folder)).strip()
    root = Path(cache) / "golang.org" / f"toolchain@{TOOLCHAIN}"
    for pattern in ("bin/*", "pkg/tool/*/*"):
        for program in root.glob(pattern):
            program.chmod(0o755)  # the module cache keeps no execute bits
    return root / "bin" / "go"


def go_environment(go: str) -> dict[str, str]:
    """Return the environment of a reproducible static build."""
    env = dict(os.environ)
    env.update(CGO_ENABLED="0", GOWORK="off", GOFLAGS="-mod=readonly -buildvcs=false")
    env.pop("GOROOT", None)
    if "/toolchain@" in go:
        env.update(GOTOOLCHAIN="local")
    env.setdefault("HOME", "/root")
    return env


def build(tool: GoTool, cache: Path) -> Path:
    """Build the commands unless they are cached; return their directory."""
    target = cache / tool.cache_key()
    if target.is_dir():
        return target
    with step(f"build {tool.name} {tool.version}"):
        go = find_go()
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=f".{tool.name}-") as folder:
            output = Path(folder) / "bin"
            output.mkdir()
            options = ["-trimpath", "-ldflags", tool.ldflags, "-o", f"{output}/"]
            argv = ["nice", "-n", "5", go, "build", *options, *sorted(tool.commands.values())]
            tree = copy_source(tool, go, Path(folder) / "source") if tool.source else tool.folder
            if tool.tested:
                # Fetches what these tests are compiled from, while there is a network: in the lab is none.
                run([go, "list", "-deps", "-test", tool.tested], env=go_environment(go), cwd=tree)
            run(argv, env=go_environment(go), cwd=tree)
            for name, import_path in tool.commands.items():
                (output / go_output_name(import_path)).rename(output / name)
            output.rename(target)
    return target


def source_of(tool: GoTool, go: str) -> Path:
    """Return where the module cache has the source of a tool with one; its sum is pinned in the tool's folder."""
    answer = run([go, "mod", "download", "-json", tool.source], env=go_environment(go), cwd=tool.folder)
    return Path(json.loads(answer)["Dir"])


def copy_source(tool: GoTool, go: str, target: Path) -> Path:
    """Copy a tool's source tree to where it can be built, and changed: the module cache is read-only."""
    shutil.copytree(source_of(tool, go), target, copy_function=shutil.copyfile)
    for folder in (target, *(path for path in target.rglob("*") if path.is_dir())):
        folder.chmod(0o755)
    return target


def go_output_name(import_path: str) -> str:
    """Return the file name that `go build` chooses: a major version suffix is skipped."""
    parts = import_path.split("/")
    return parts[-2] if re.fullmatch(r"v\d+", parts[-1]) else parts[-1]
