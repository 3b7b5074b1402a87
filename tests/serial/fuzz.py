"""`python -m tests.serial.fuzz [--seconds N]`: coverage-guided fuzzing of what reads bytes from a wire (atheris).

It begins with tests/serial/vectors.json; `fuzz_target` says what an input is. A finding is printed as hexadecimal.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.serial import vectors

INSIDE = "inside"


def seeds(folder: Path) -> None:
    """What the vectors have, for each kind of input."""
    written = [bytes.fromhex(stream["wire"]) for stream in vectors.streams()]
    written += [bytes.fromhex(frame["wire"]) for frame in vectors.frames()]
    for number, data in enumerate(written):
        for first in range(4):
            (folder / f"{number}-{first}").write_bytes(bytes((first,)) + data[:2000])


def fuzz(seconds: int) -> int:
    """In a process of its own, because libFuzzer ends it → its exit status."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        folder = Path(name)
        corpus = folder / "corpus"
        corpus.mkdir()
        seeds(corpus)
        # a process is said to have had what its parent had before it: getrusage(2) after execve(2)
        inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        memory = f"-rss_limit_mb={inherited + 1024}"
        limits = [f"-max_total_time={seconds}", "-max_len=4096", memory, "-timeout=20"]
        command = [
            sys.executable,
            "-m",
            "tests.serial.fuzz",
            INSIDE,
            *limits,
            f"-artifact_prefix={folder}/",
            str(corpus),
        ]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        lines = done.stderr.splitlines()
        print("\n".join(lines[-4:] if done.returncode == 0 else lines[-60:]))
        for finding in folder.glob("*-*"):
            print(finding.name, finding.read_bytes().hex())
        return done.returncode


def inside(arguments: list[str]) -> None:
    """Never returns."""
    import atheris

    with atheris.instrument_imports(include=["edge_runtime.serial_link"]):
        from tests.serial import fuzz_target
    atheris.Setup(arguments, fuzz_target.converse)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the link's readers.")
    parser.add_argument("--seconds", type=int, default=600)
    return fuzz(parser.parse_args().seconds)


if __name__ == "__main__":
    if INSIDE in sys.argv[1:2]:
        inside(["fuzz", *sys.argv[2:]])
    raise SystemExit(main())
