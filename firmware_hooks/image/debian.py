"""Debian's packages for the board: resolved and fetched by an apt of its own, unpacked without maintainer scripts."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from firmware_hooks.errors import HookError
from firmware_hooks.image import tools

SUITE = "bookworm"
ARCHITECTURE = "arm64"
MERGED = ("bin", "lib", "sbin")
"""top folders that are links into /usr"""

# -c is read after this machine's own configuration and so wins over it; proxies and the like stay as they are here.
CONFIGURATION = """\
#clear APT::Architectures;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "true";
Dir::State "{work}/state";
Dir::State::status "{work}/state/status";
Dir::Cache "{work}/cache";
Dir::Etc::sourcelist "/dev/null";
Dir::Etc::sourceparts "{work}/sources";
"""

_INSTALLED = re.compile(r"^Inst (\S+) \((\S+) ", re.MULTILINE)
_ONE_LINE = re.compile(r"^deb\s+(?:\[([^]]*)\]\s+)?(\S+)\s+(\S+)\s+(.+)$")


@dataclass(frozen=True, slots=True)
class Package:
    """A package as it was fetched."""

    name: str
    version: str
    file: Path
    installed: int
    """bytes, as it says itself"""


class Repository:
    """Debian's archive, through this machine's own sources or those in a file."""

    def __init__(
        self,
        work: Path,
        cache: Path,
        sources: Path | None,
        components: Collection[str],
        architecture: str = ARCHITECTURE,
        *,
        lenient: bool = False,
    ) -> None:
        """Fetch the lists of packages.

        Args:
            work: folder for apt's state.
            cache: folder that packages are fetched to; those that are there already are not fetched again.
            sources: a file as in /etc/apt/sources.list.d, deb822; this machine's own where it is None.
            components: of Debian that are needed.
            architecture: whose packages are wanted, as Debian calls it.
            lenient: go on where a source cannot be read (a mirror that is being updated): older packages than there
                are, without a word. For tests, not for boards.

        Raises:
            HookError: there is no Debian 12 among the sources, or it cannot be read.
        """
        self._cache = cache
        for folder in ("state/lists/partial", "cache/archives/partial", "sources"):
            (work / folder).mkdir(parents=True)
        cache.mkdir(parents=True, exist_ok=True)
        (work / "state/status").touch()
        self._configuration = work / "apt.conf"
        self._configuration.write_text(CONFIGURATION.format(architecture=architecture, work=work.resolve()))
        text = sources.read_text(encoding="utf-8") if sources else "\n".join(stanzas(Path("/etc/apt"), components))
        if not text.strip():
            raise HookError(
                f"this machine's apt has no sources of Debian 12 ({SUITE}); name a file that has with --sources "
                "(docs/image.md has one)"
            )
        (work / "sources/debian.sources").write_text(text)
        self._apt("apt-get", "-qq", "update", check=not lenient)

    def resolve(self, wanted: Sequence[str], without: Collection[str] = ()) -> list[str]:
        """NAME=VERSION of packages and all that they depend on, less those in `without`, in alphabetical order.

        Raises:
            HookError: one of them is not in the archive.
        """
        plan = self._apt("apt-get", "-s", "install", *wanted)
        return sorted(f"{name}={version}" for name, version in _INSTALLED.findall(plan) if name not in without)

    def kernel(self) -> str:
        """NAME=VERSION of the newest kernel's package, which `linux-image-arm64` only depends on."""
        found = re.search(r"Depends: (linux-image-\S+)", self._apt("apt-cache", "depends", "linux-image-arm64"))
        if found is None:
            raise HookError("the archive has no kernel for arm64")
        return self.exactly(found[1])

    def exactly(self, name: str) -> str:
        """NAME=VERSION of a package alone.

        Raises:
            HookError: it is not in the archive.
        """
        found = re.search(r"Candidate: (\S+)", self._apt("apt-cache", "policy", name))
        if found is None or found[1] == "(none)":
            raise HookError(f"the archive has no package {name}")
        return f"{name}={found[1]}"

    def fetch(self, packages: Sequence[str]) -> list[Package]:
        """The packages' files, verified by apt.

        Raises:
            HookError: one cannot be had.
        """
        self._apt("apt-get", "-qq", "download", *packages, folder=self._cache)
        found = []
        for package in packages:
            name, version = package.split("=", 1)
            # as apt names files
            escaped = version.replace(":", "%3a")
            files = [*self._cache.glob(f"{name}_{escaped}_*.deb")]
            if len(files) != 1:
                raise HookError(f"{package} was not where apt puts it, {self._cache}")
            size = tools.run(["dpkg-deb", "-f", files[0], "Installed-Size"]).strip()
            found.append(Package(name, version, files[0], int(size or 0) * 1024))
        return found

    def _apt(self, tool: str, *arguments: str, folder: Path | None = None, check: bool = True) -> str:
        return tools.run([tool, "-c", self._configuration, *arguments], folder=folder, check=check)


def merge(root: Path) -> None:
    """Make /bin, /sbin and /lib links into /usr."""
    for name in MERGED:
        (root / "usr" / name).mkdir(parents=True, exist_ok=True)
        if not (root / name).is_symlink():
            (root / name).symlink_to(f"usr/{name}")


def unpack(package: Path, root: Path, leave: Sequence[str] = (), only: Sequence[str] = ()) -> None:
    """Unpack a package into a folder, with /bin, /sbin and /lib merged into /usr.

    Args:
        package: its file.
        root: the folder.
        leave: patterns of paths, as tar's --exclude takes them, that are left out.
        only: paths or patterns that alone are unpacked; all if empty.
    """
    merge(root)
    command = ["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-C", str(root)]
    command += [f"--exclude={pattern}" for pattern in leave]
    if only:
        command += ["--wildcards", *only]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as archive:
        done = subprocess.run(command, check=False, stdin=archive.stdout, stderr=subprocess.PIPE, text=True)
    if archive.returncode or done.returncode:
        raise HookError(f"{package} could not be unpacked: {done.stderr.strip()}")


def status(package: Path) -> str:
    """A package's entry for /var/lib/dpkg/status, where scanners for vulnerabilities look what is installed."""
    control = tools.run(["dpkg-deb", "-f", package]).strip().splitlines()
    return "\n".join([control[0], "Status: install ok installed", *control[1:]]) + "\n"


def stanzas(folder: Path, components: Collection[str]) -> Iterator[str]:
    """This machine's sources of Debian 12, with the components that are needed, in deb822's format."""
    for entry in _entries(folder):
        suites = [suite for suite in entry.get("suites", "").split() if suite.partition("-")[0] == SUITE]
        if "deb" in entry.get("types", "").split() and "main" in entry.get("components", "").split() and suites:
            fields = {
                "Types": "deb",
                "URIs": entry["uris"],
                "Suites": " ".join(suites),
                "Components": " ".join(sorted(components)),
            }
            if "signed-by" in entry:
                fields["Signed-By"] = entry["signed-by"]
            yield "".join(f"{name}: {value}\n" for name, value in fields.items())


def _entries(folder: Path) -> Iterator[dict[str, str]]:
    """Each source in the files below /etc/apt, its fields in lower case."""
    for file in [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]:
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            if found := _ONE_LINE.match(line.strip()):
                options = dict(option.split("=", 1) for option in (found[1] or "").split() if "=" in option)
                yield {**options, "types": "deb", "uris": found[2], "suites": found[3], "components": found[4]}
    for file in sorted(folder.glob("sources.list.d/*.sources")):
        lines = (line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
        for stanza in re.split(r"\n\s*\n", "\n".join(lines)):
            # a field goes on where a line begins with a space
            joined = re.sub(r"\n[ \t]+", "\n ", stanza.strip())
            fields = re.findall(r"^([\w-]+):[ \t]*(.*(?:\n .*)*)", joined, re.MULTILINE)
            yield {name.lower(): value for name, value in fields}
