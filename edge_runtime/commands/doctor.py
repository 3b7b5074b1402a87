"""`edge-runtime doctor`: what is wrong with this machine or install, and the mend."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from edge_runtime import __version__
from edge_runtime.backends.selection import SUPPORTED, TFLITE
from edge_runtime.backends.weight_cache import UNFIT, names_and_digests
from edge_runtime.cpu import this_cpu
from edge_runtime.errors import EdgeError
from edge_runtime.model_file import BUNDLED, SUFFIX, bundled_names, open_model_file
from edge_runtime.tuning import Unfit, find, settle
from edge_runtime.verified import cache_folder, private_folder

State = Literal["good", "note", "bad"]

_OLDEST_PYTHON = (3, 11)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    state: State
    found: str
    mend: str | None = None
    """what to do; None where nothing needs to be done"""
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "state": self.state,
            "found": self.found,
            "mend": self.mend,
            "details": self.details,
        }


def examine() -> list[Finding]:
    """Look at everything; a check that fails in a way nobody thought of is a finding itself."""
    checks: Sequence[Callable[[], Iterator[Finding]]] = (_python, _packages, _cpu, _backend, _tuning, _cache, _models)
    findings: list[Finding] = []
    for check in checks:
        try:
            findings.extend(check())
        except Exception as error:
            subject = check.__name__.strip("_")
            findings.append(Finding(subject, "bad", f"{type(error).__name__}: {error}", "report this, with the output"))
    return findings


def is_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing needs mending."""
    return all(finding.state != "bad" for finding in findings)


def to_json(findings: Sequence[Finding]) -> dict[str, Any]:
    return {"well": is_well(findings), "findings": [finding.to_json() for finding in findings]}


def to_text(findings: Sequence[Finding]) -> str:
    """A line per finding, with the mend below it."""
    mark = {"good": "ok  ", "note": "note", "bad": "BAD "}
    lines = []
    for finding in findings:
        lines.append(f"{mark[finding.state]}  {finding.subject}: {finding.found}")
        if finding.mend:
            lines.append(f"      → {finding.mend}")
    return "\n".join(lines)


def _python() -> Iterator[Finding]:
    found = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info >= _OLDEST_PYTHON:
        yield Finding("python", "good", found)
    else:
        yield Finding("python", "bad", found, "install Python 3.11 or later")
    yield Finding("squeezebert-edge", "good", __version__)


def _packages() -> Iterator[Finding]:
    for package in ("numpy", "tokenizers", "click", "pyserial"):
        installed = _installed(package)
        if installed is None:
            yield Finding(package, "bad", "not installed", f"pip install {package}")
        else:
            yield Finding(package, "good", installed)
    runtimes = {package: _installed(package) for package in SUPPORTED}
    for package, installed in runtimes.items():
        wanted = SUPPORTED[package]
        if installed is None:
            continue
        if installed == wanted:
            yield Finding(package, "good", installed)
        else:
            yield Finding(
                package, "note", f"{installed}; {wanted} is what is tested", f"pip install {package}=={wanted}"
            )
    if not any(runtimes.values()):
        package = TFLITE if this_cpu().machine.startswith("armv") else "ai-edge-litert"
        yield Finding("TFLite runtime", "bad", "none is installed", f"pip install {package}=={SUPPORTED[package]}")
    numpy = _installed("numpy") or "0"
    if runtimes[TFLITE] and int(numpy.split(".")[0]) >= 2:
        state: State = "note" if runtimes["ai-edge-litert"] else "bad"
        found = f"{runtimes[TFLITE]} is installed beside NumPy {numpy}, with which it fails"
        yield Finding(TFLITE, state, found, "pip install 'numpy<2'")


def _cpu() -> Iterator[Finding]:
    cpu = this_cpu()
    features = f"{cpu.machine}, kernels {cpu.fingerprint}"
    if cpu.is_arm64:
        features += f", LSE atomics {'yes' if cpu.atomics else 'no'}, dot product {'yes' if cpu.dot_product else 'no'}"
    yield Finding(
        "cpu",
        "good",
        features,
        details={"atomics": cpu.atomics, "dot_product": cpu.dot_product, "machine": cpu.machine},
    )


def _backend() -> Iterator[Finding]:
    try:
        selection = settle().selection
    except EdgeError as error:
        mend = "install what setup.cfg names for this machine: pip install squeezebert-edge"
        yield Finding("backend", "bad", str(error), mend)
        return
    yield Finding("backend", "good", f"{selection.name} ({selection.reason})", details={"name": selection.name})


def _tuning() -> Iterator[Finding]:
    match find():
        case None:
            yield Finding("tuning", "good", "none: one thread, any core (`edge-boards tune` measures what is fastest)")
        case Unfit(path, reason):
            yield Finding("tuning", "note", f"{path} is left aside: {reason}", "edge-boards tune")
        case tuning:
            cores = "any core" if tuning.cores is None else f"cores {', '.join(map(str, tuning.cores))}"
            found = f"{tuning.backend}, {tuning.threads} thread(s), {cores} ({tuning.path})"
            details = {"backend": tuning.backend, "threads": tuning.threads, "cores": tuning.cores}
            yield Finding("tuning", "good", found, details=details)


def _cache() -> Iterator[Finding]:
    folder = cache_folder()
    if obstacle := private_folder(folder):
        mend = "make the folder yours and writable, or set EDGE_RUNTIME_CACHE; until then loading is slower"
        yield Finding("cache", "note", obstacle, mend)
        return
    assert folder is not None
    caches = names_and_digests(folder)
    total = sum(file.lstat().st_size for file, _, _ in caches)
    yield Finding("cache", "good", f"{folder}: {len(caches)} weight cache(s), {total / 1e6:.1f} MB")
    for file in sorted(folder.glob(f"weights-*{UNFIT}")):
        found = f"{file.name}: a model whose operators share weights cannot have one; it needs more memory"
        yield Finding("weight cache", "note", found, "convert the checkpoint again with this release's edge-converter")
    for file, claimed, digest in caches:
        details = {"sha256": digest}
        if digest == claimed:
            yield Finding("weight cache", "good", f"{file.name} is intact", details=details)
        else:
            mend = f"rm -r '{file}' (it is never used, and is made anew)"
            yield Finding("weight cache", "note", f"{file.name} is damaged or not ours", mend, details)


def _models() -> Iterator[Finding]:
    names = bundled_names()
    if not names:
        yield Finding("models", "note", "none came with this install", "load a .tflite file by its path")
    for name in names:
        yield _model(name)


def _model(name: str) -> Finding:
    """Verify a bundled model in full and let it answer."""
    path = BUNDLED / f"{name}{SUFFIX}"
    try:
        # Hashed, whatever the stamps say.
        open_model_file(path, None).close()
        from edge_runtime.model import load

        with load(path) as model:
            length = min(8, model.info.max_length)
            model.run([0] * length)
            digest, backend = model.info.digest, model.info.backend
    except EdgeError as error:
        return Finding(f"model {name}", "bad", str(error), "pip install --force-reinstall --no-deps squeezebert-edge")
    found = f"intact and answers on {backend}; manifest {digest[:16]}"
    return Finding(f"model {name}", "good", found, details={"digest": digest})


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
