"""Sizes: of a peer's model file, and of what pip installs for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.peers import environments
from tests.peers.suite import files
from tests.peers.suite.roster import HERE, Peer

INSTALLED = """
import json, re, sys
from importlib.metadata import PackageNotFoundError, distribution
from pip._vendor.packaging.requirements import Requirement
found, left = {}, sys.argv[1:]
while left:
    name = re.sub("[-_.]+", "-", left.pop()).lower()
    if name in found:
        continue
    try:
        one = distribution(name)
    except PackageNotFoundError:
        continue
    # pip's byte code counts: it is made at the install
    found[name] = sum(path.stat().st_size for each in one.files or [] if (path := one.locate_file(each)).is_file())
    wanted = [Requirement(text) for text in one.requires or []]
    left += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
print(json.dumps(found))
"""


def measure(peers: Sequence[Peer], build: Path) -> list[dict[str, Any]]:
    """A row for each peer: megabytes of its file, and of its packages with all that these ask pip for."""
    sizes = files.sizes(peers, build)
    rows = []
    for peer in peers:
        python = sys.executable if peer.environment == HERE else environments.python(build, peer.environment)
        packages = json.loads(subprocess.check_output([python, "-c", INSTALLED, *peer.packages], text=True))
        there = {re.sub("[-_.]+", "-", name).lower() for name in peer.packages} <= set(packages)
        rows.append(
            {
                "peer": peer.name,
                "file_mb": round(sizes[peer.name] / 1e6, 1),
                "install_mb": round(sum(packages.values()) / 1e6, 1) if there else None,
                "packages": len(packages),
            }
        )
    return rows
