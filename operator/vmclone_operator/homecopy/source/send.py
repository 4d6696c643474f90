"""Runs rsync on the source, with its ssh going back through the relay to the clone.

Every value stands in a file that is written here; rsync's and ssh's argument lists hold constants and the
names of those files.
"""

# Runs on the source, on Python 3.6: no newer typing and no newer subprocess arguments.
# ruff: noqa: UP006, UP031, UP035, UP045, PTH118, PTH123

import os
import re
import subprocess
import sys
import threading
from io import BufferedReader
from typing import Any, Callable, Dict, List, Match, Optional, Tuple, cast

CLONE = "vmclone-clone"
PARTIAL_FOLDER = ".vmclone-partial"
BACKUP_FOLDER = ".vmclone-backup"
_PROGRESS = re.compile(rb"\s*([0-9]+)\s+([0-9]+)%.*?(?:xfr#([0-9]+).*?to-chk=([0-9]+)/([0-9]+)\))?\s*$")
_SENT = re.compile(rb"Total bytes sent: ([0-9]+)")
_STDERR_KEPT = 2048
# Fast zstd costs less than what it saves of encryption, which is done twice. Not lz4: rsync 3.5.0 ends in the middle of
# texts that repeat themselves. With no way in common there would be no copy, so zlib is the last.
_COMPRESSIONS = "zstd zlibx zlib"
_COMPRESS = ["--compress", "--compress-level=-1"]

CLONE_CONFIG = "ssh_config"
# rsync's remote shell to a clone: ssh, without what the login there prints before our forced command says that rsync
# begins. What comes back from a receiver is little.
_SILENT_SSH = """import os, subprocess, sys

MARK = b"\\n@vmclone-rsync\\n"
ssh = subprocess.Popen(["ssh"] + sys.argv[1:], stdout=subprocess.PIPE)
source, said = ssh.stdout.fileno(), b""
while MARK not in said:
    block = os.read(source, 65536)
    if not block or len(said) > 1048576:
        ssh.stdout.close()
        sys.exit(ssh.wait() & 255 or 12)
    said += block
rest = said.partition(MARK)[2]
while True:
    while rest:
        rest = rest[os.write(1, rest) :]
    rest = os.read(source, 65536)
    if not rest:
        sys.exit(ssh.wait() & 255)
"""

SSH_CONFIG = """Host {alias}
HostName {address}
Port {port}
User {user}
HostKeyAlias {alias}
BatchMode yes
StrictHostKeyChecking yes
UserKnownHostsFile "{folder}/known_hosts"
GlobalKnownHostsFile /dev/null
HashKnownHosts no
UpdateHostKeys no
CheckHostIP no
VerifyHostKeyDNS no
IdentityFile none
PreferredAuthentications publickey
ForwardAgent no
ForwardX11 no
ClearAllForwardings yes
PermitLocalCommand no
ControlMaster no
ControlPath none
Compression no
Ciphers {ciphers}
ConnectTimeout 30
ServerAliveInterval 15
ServerAliveCountMax 4
LogLevel ERROR
"""


_GCM = "aes128-gcm@openssh.com,aes256-gcm@openssh.com"
_CHACHA = "chacha20-poly1305@openssh.com"
_COUNTER = "aes128-ctr,aes192-ctr,aes256-ctr"


def cheapest_ciphers() -> str:
    """Return all good ciphers, cheapest first: half of what a copy costs is encryption, and it is done twice."""
    try:
        with open("/proc/cpuinfo", "rb") as file:
            has_aes = re.search(rb"^(?:flags|Features)\b.*\baes\b", file.read(), re.MULTILINE) is not None
    except OSError:
        has_aes = False
    return ",".join((_GCM, _CHACHA, _COUNTER) if has_aes else (_CHACHA, _GCM, _COUNTER))


def write_clone_config(folder: str, clone: Dict[str, Any]) -> None:
    """Write the ssh configuration and the pinned host keys of the clone into a private folder."""
    values = {key: str(clone[key]) for key in ("address", "port", "user")}
    config = SSH_CONFIG.format(alias=CLONE, folder=folder, ciphers=cheapest_ciphers(), **values)
    _write(os.path.join(folder, CLONE_CONFIG), config)
    _write(os.path.join(folder, "known_hosts"), "".join("%s %s\n" % (CLONE, key) for key in clone["hostKeys"]))
    _write(os.path.join(folder, "silent_ssh.py"), _SILENT_SSH)


def rsync_command(folder: str, options: Dict[str, Any], config: str = CLONE_CONFIG) -> List[str]:
    """Return rsync's constant arguments; only numbers and a checked time stamp vary."""
    # Looking for holes costs the receiver more than anything else: only when the scan saw a file with some.
    letters = "-lptHS" if options.get("sparse") else "-lptH"
    command = ["rsync", letters, "--chmod=Fu-s,Fg-s", "--no-devices", "--no-specials", "--no-human-readable"]
    command += ["--partial-dir=" + PARTIAL_FOLDER, "--timeout=%d" % int(options["timeoutSeconds"]), "--outbuf=L"]
    command += ["--info=progress2,stats2", "-e", _remote_shell(folder, config)]
    if options.get("tree", "home") != "home":
        # The folders above are there, as they were judged. rsync takes two times within one second for the same.
        command += ["--no-implied-dirs", "--ignore-times"]
    if options.get("compress"):
        command += _COMPRESS
    if options.get("bandwidthKiB"):
        command.append("--bwlimit=%d" % int(options["bandwidthKiB"]))
    if options.get("refresh"):
        stamp = str(options["refresh"])
        if not re.match(r"[0-9A-Za-z-]{1,40}\Z", stamp):
            raise ValueError("the refresh stamp may hold letters, digits and dashes only")
        command += ["--update", "--backup", "--backup-dir=%s/%s" % (BACKUP_FOLDER, stamp)]
    return command


def _remote_shell(folder: str, config: str) -> str:
    """Return how rsync reaches the far end: a clone through `silent_ssh.py`."""
    if config != CLONE_CONFIG:
        return 'ssh -F "%s/%s"' % (folder, config)
    return '"%s" -I "%s/silent_ssh.py" -F "%s/%s"' % (sys.executable, folder, folder, config)


def run_rsync(
    command: List[str],
    tell: Callable[[Dict[str, Any]], None],
    cut: Callable[[Callable[[], None]], None],
    environment: Dict[str, str],
) -> Dict[str, Any]:
    """Run it, tell its progress, and return code, bytes sent and the end of what it complained about.

    `cut` is given the function that ends rsync early, for when the other side goes away.
    """
    environment = dict(environment, LC_ALL="C", RSYNC_COMPRESS_LIST=_COMPRESSIONS)
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    cut(process.terminate)
    stdout, stderr = cast(BufferedReader, process.stdout), cast(BufferedReader, process.stderr)
    complaints: List[bytes] = []
    listener = threading.Thread(target=_keep_tail, args=(stderr, complaints), daemon=True)
    listener.start()
    sent = _follow(stdout, tell)
    code = process.wait()
    listener.join(10)
    return {
        "code": code,
        "sentBytes": sent,
        "stderr": b"".join(complaints)[-_STDERR_KEPT:].decode("utf-8", "backslashreplace"),
    }


def rsync_version(text: str) -> Optional[Tuple[int, ...]]:
    """Return the version in the first line of `rsync --version`."""
    found = re.search(r"rsync +version v?([0-9]+)\.([0-9]+)(?:\.([0-9]+))?", text)
    return tuple(int(number or 0) for number in found.groups()) if found else None


def installed_rsync(environment: Optional[Dict[str, str]] = None) -> Optional[Tuple[int, ...]]:
    """Return the version of this host's rsync, or nothing when there is none."""
    try:
        output = subprocess.check_output(["rsync", "--version"], stderr=subprocess.DEVNULL, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return None
    return rsync_version(output.decode("utf-8", "replace"))


def _follow(stream: BufferedReader, tell: Callable[[Dict[str, Any]], None]) -> int:
    """Read rsync's output, whose progress lines end with a carriage return; return the bytes sent."""
    sent = 0
    rest = b""
    while True:
        block = stream.read1(65536)
        if not block:
            return sent
        lines = re.split(rb"[\r\n]", rest + block)
        rest = lines.pop()
        for line in lines:
            total = _SENT.search(line)
            sent = int(total.group(1)) if total else sent
            found = _PROGRESS.match(line)
            if found:
                tell(_progress(found))


def _progress(found: Match[bytes]) -> Dict[str, Any]:
    done, _, number, left, total = found.groups()
    document = {"doneBytes": int(done)}
    if number:
        document.update(sentFiles=int(number), checked=int(total) - int(left), entries=int(total))
    return document


def _keep_tail(stream: BufferedReader, kept: List[bytes]) -> None:
    while True:
        block = stream.read1(4096)
        if not block:
            return
        kept.append(block)
        del kept[:-8]


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(handle, "w") as file:
        file.write(text)
