"""A real sshd on the loopback, for tests that reach a board over ssh."""

from __future__ import annotations

import select
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.serve.server import free_port

SSHD = "/usr/sbin/sshd"


@dataclass(frozen=True)
class Sshd:
    """Where it listens, and how to get in."""

    port: int
    ssh: str
    """the command"""


@contextmanager
def running(options: str = "", environment: Mapping[str, str] | None = None) -> Iterator[Sshd]:
    """An sshd that root can log in at with a key.

    Args:
        options: of that key in authorized_keys.
        environment: of what is run there.
    """
    # sshd wants the folders above its files to be nobody else's to write
    with tempfile.TemporaryDirectory(prefix="edge-sshd-", dir="/root") as name:
        folder = Path(name)
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        public = (folder / "user.pub").read_text()
        (folder / "authorized_keys").write_text(f"{options} {public}".lstrip())
        port = free_port()
        settings = "".join(f"SetEnv {name}={value}\n" for name, value in (environment or {}).items())
        (folder / "config").write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {folder}/host\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPasswordAuthentication no\n{settings}"
        )
        Path("/run/sshd").mkdir(exist_ok=True)
        daemon = subprocess.Popen([SSHD, "-D", "-e", "-f", folder / "config"], stderr=subprocess.PIPE)
        try:
            assert daemon.stderr is not None
            said = b""
            while b"listening" not in said:
                assert select.select([daemon.stderr], [], [], 60)[0], said
                line = daemon.stderr.readline()
                assert line, f"sshd ended: {said.decode()}"
                said += line
            host = (folder / "host.pub").read_text()
            (folder / "known").write_text(f"[127.0.0.1]:{port} {host}")
            yield Sshd(port, f"ssh -F none -i {folder}/user -o UserKnownHostsFile={folder}/known -o BatchMode=yes")
        finally:
            daemon.terminate()
            daemon.wait()
            assert daemon.stderr is not None
            daemon.stderr.close()
