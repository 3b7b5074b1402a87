"""The lock files: for each target the wheels that it gets, each of one version with one hash.

    python -m firmware_hooks.payload.lock            makes all of them anew, from what the index has now
    python -m firmware_hooks.payload.lock --check    looks whether they agree with setup.cfg; no network

What is wanted is what setup.cfg says that a board installs; `locks/narrowed.txt` narrows it where that has a reason.
Dependencies of dependencies are not followed: what is imported on a board is known, and tested (tests/arm).
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from importlib import metadata
from pathlib import Path

from firmware_hooks.errors import HookError
from firmware_hooks.payload import wheels
from firmware_hooks.payload.pins import lines, normalised, read
from firmware_hooks.payload.target import TFLITE, Target, targets

DISTRIBUTION = "squeezebert-edge"
NARROWED = Path(__file__).parent / "locks" / "narrowed.txt"


def wanted(target: Target) -> dict[str, str]:
    """What a target installs by setup.cfg, narrowed → distribution, and the requirement as pip takes it."""
    from packaging.requirements import Requirement

    # setup.cfg chooses the runtime by the machine: what is chosen for 32 bits is the older one
    machine = "armv7l" if target.runtime == TFLITE else target.machine
    found: dict[str, Requirement] = {}
    for text in metadata.requires(DISTRIBUTION) or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"platform_machine": machine, "extra": ""}):
            found[normalised(requirement.name)] = requirement
    for text in lines(NARROWED):
        requirement = Requirement(text)
        name = normalised(requirement.name)
        environment = {"platform_machine": machine, "python_version": target.python}
        if name in found and (requirement.marker is None or requirement.marker.evaluate(environment)):
            found[name].specifier &= requirement.specifier
    for name in target.from_system:
        del found[name]
    return {name: f"{name}{found[name].specifier}" for name in sorted(found)}


def make(target: Target) -> str:
    """The text of a lock file, from the newest that the index has and setup.cfg allows.

    Raises:
        HookError: the index cannot be reached, or has no such wheel.
    """
    with tempfile.TemporaryDirectory() as folder:
        wheels.download(target, [*wanted(target).values()], Path(folder))
        lines = []
        for path in sorted(Path(folder).iterdir()):
            name, version = wheels.named(path)
            lines.append(f"{normalised(name)}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")
    return "\n".join([f"# {target}. Made by python -m firmware_hooks.payload.lock", *sorted(lines), ""])


def disagreements(target: Target) -> list[str]:
    """Where a lock file is not what setup.cfg asks for."""
    from packaging.requirements import Requirement

    locked = {pin.name: pin.version for pin in read(target)}
    asked = wanted(target)
    wrong = [f"{name} is locked and not asked for" for name in locked.keys() - asked.keys()]
    for name, text in asked.items():
        if name not in locked:
            wrong.append(f"{name} is asked for and not locked")
        elif not Requirement(text).specifier.contains(locked[name]):
            wrong.append(f"{name} is locked at {locked[name]}, which is not {text}")
    return [f"{target.lock.name}: {each}" for each in sorted(wrong)]


def main() -> int:
    """Make the lock files, or check them."""
    if sys.argv[1:] not in ([], ["--check"]):
        sys.stderr.write(f"{__doc__}\n")
        return 2
    try:
        if sys.argv[1:]:
            wrong = [each for target in targets() for each in disagreements(target)]
            sys.stdout.write("".join(f"{each}\n" for each in wrong))
            return 1 if wrong else 0
        for target in targets():
            target.lock.write_text(make(target), encoding="utf-8")
            sys.stdout.write(f"{target.lock.name}\n")
    except HookError as error:
        sys.stderr.write(f"lock: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
