"""What programs are started with on the source: nothing of the user's. A `.bashrc` is read for ssh commands too.

`RSYNC_PROTECT_ARGS`, `SSH_AUTH_SOCK` as 1Password sets it, aliases in `~/.popt`: each would have a say in what is
copied. So rsync and ssh get a PATH of the system, a home of our own, and the agent that holds the key of this copy.
"""

# Runs on the source, on Python 3.6: no newer typing.
# ruff: noqa: UP006, UP035, UP045, PTH111, PTH118, PTH207

import base64
import glob
import os
import socket
import struct
from typing import Dict, Iterator, Optional

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/run/current-system/sw/bin"
_ANSWER_SECONDS = 5.0
_LONGEST_ANSWER = 256 * 1024
_ASK = b"\0\0\0\1\x0b"
"""SSH_AGENTC_REQUEST_IDENTITIES of the agent's protocol (RFC draft miller-ssh-agent), with its length before it."""


def clean(folder: str, agent: Optional[str] = None) -> Dict[str, str]:
    """Return the environment of a program whose home is a private folder."""
    environment = {"PATH": PATH, "HOME": folder, "LC_ALL": "C"}
    return dict(environment, SSH_AUTH_SOCK=agent) if agent else environment


def agent_with(key: str) -> Optional[str]:
    """Return the socket of the agent that holds a public key (base64 as in a .pub file); nothing when there is none.

    The variable that sshd set for it may be overwritten by then, so the places where sshd puts sockets are tried too.
    """
    blob = base64.b64decode(key)
    return next((path for path in dict.fromkeys(_candidates()) if blob in _identities(path)), None)


def _candidates() -> Iterator[str]:
    told = os.environ.get("SSH_AUTH_SOCK")
    if told:
        yield told
    yield from sorted(glob.glob("/tmp/ssh-*/agent.*"))  # noqa: S108  - sshd's own place up to OpenSSH 10.0
    yield from sorted(glob.glob(os.path.join(os.path.expanduser("~"), ".ssh/agent/s.*")))


def _identities(path: str) -> bytes:
    """Return what an agent answers when it is asked for its keys; nothing when it does not."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
            agent.settimeout(_ANSWER_SECONDS)
            agent.connect(path)
            agent.sendall(_ASK)
            stream = agent.makefile("rb")
            (length,) = struct.unpack(">I", stream.read(4))
            return stream.read(min(length, _LONGEST_ANSWER))
    except (OSError, struct.error):
        return b""
