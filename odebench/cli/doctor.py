"""`odebench doctor`: whether this machine can measure, and what would spoil the figures."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import click

from odebench.cli.options import interpreter_option, into_option, json_option, plugin_option
from odebench.cli.output import count, write_json

if TYPE_CHECKING:
    from odebench.plugins import Registry
    from odebench.run.executors import Environment

# A suite's cell may take this much unless the suite says otherwise.
_MEMORY_OF_A_CELL_GIB = 8
_START_LIMIT_S = 120
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Finding:
    """One line: what was looked at, what was found, and whether that is as it should be."""

    what: str
    found: str
    ok: bool = True


@click.command("doctor")
@into_option
@plugin_option
@interpreter_option
@json_option
def command(into: Path | None, local_files: tuple[Path, ...], interpreters: dict[str, Path], as_json: bool) -> None:
    """Look for what would stop a run or spoil its figures, and say what to do about it.

    \b
    Example:
      odebench doctor
      odebench doctor --interpreter other=envs/other/bin/python

    A line that begins with `warn` stops nothing by itself.
    """
    findings = list(examine(into or Path("results"), local_files, interpreters))
    if as_json:
        write_json([asdict(finding) for finding in findings])
        return
    size = max(len(finding.what) for finding in findings)
    for finding in findings:
        click.echo(f"{'ok  ' if finding.ok else 'warn'}  {finding.what.ljust(size)}  {finding.found}")


def examine(
    results: Path, local_files: tuple[Path, ...], interpreters: Mapping[str, Path] = MappingProxyType({})
) -> Iterator[Finding]:
    """Every finding on this machine, in the order in which it is shown."""
    yield _python()
    yield from _torch()
    yield _cores()
    yield _threads()
    yield _memory()
    yield _processes()
    yield _browser()
    yield writable("results", results, "Choose another with --into.")
    yield _cache()
    yield from _plugins(local_files, interpreters)


def _python() -> Finding:
    found = (
        f"{platform.python_version()} ({platform.python_implementation()}), {platform.system()} {platform.machine()}"
    )
    if sys.platform != "linux":
        return Finding(
            "python", f"{found}: limits on memory and on processes left behind are kept on Linux only", False
        )
    return Finding("python", found)


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding("torch", f"cannot be imported: {error}. Install it: pip install torch", False)
        return
    yield Finding("torch", torch.__version__)
    from odebench.run.devices import accelerator_names, device_reason

    names = [*accelerator_names(), *(["mps"] if device_reason("mps") is None else [])]
    yield Finding("accelerators", ", ".join(names) or "none; cells for one will be `unsupported`")


def _cores() -> Finding:
    from odebench.records.machine import usable_cores

    usable = usable_cores()
    found = f"{count(usable, 'core')} of {os.cpu_count()} may be used"
    if not hasattr(os, "getloadavg"):
        return Finding("cores", found)
    load = os.getloadavg()[0]
    if load > 0.5 * usable:
        return Finding(
            "cores", f"{found}, but the load is {load:.1f}: times would be disturbed. Stop what else runs.", False
        )
    return Finding("cores", f"{found}, load {load:.1f}")


def _threads() -> Finding:
    """Runs set the threads of each measured process themselves; the variables bind what else is started."""
    given = [f"{name}={os.environ[name]}" for name in _THREAD_VARIABLES if name in os.environ]
    return Finding("threads", "as each suite says" + (f"; set here: {', '.join(given)}" if given else ""))


def _memory() -> Finding:
    from odebench.records.machine import memory_bytes

    total, free = memory_bytes(), _available_bytes()
    if not total:
        return Finding("memory", "this system does not tell how much there is", False)
    found = f"{total / 2**30:.1f} GiB" + ("" if free is None else f", {free / 2**30:.1f} GiB of it free")
    if (total if free is None else free) < _MEMORY_OF_A_CELL_GIB * 2**30:
        hint = f"less than the {_MEMORY_OF_A_CELL_GIB} GiB that a cell may take: lower `memory` in [budget]"
        return Finding("memory", f"{found}; {hint}", False)
    return Finding("memory", found)


def _available_bytes(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that a new process could have; None where the system does not tell."""
    try:
        lines = meminfo.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _processes() -> Finding:
    from odebench.run.executors import Environment

    return _server("processes", Environment())


def _interpreters(interpreters: Mapping[str, Path]) -> Iterator[Finding]:
    """What each other interpreter is, and whether a run could measure there."""
    from odebench.errors import InterpreterError
    from odebench.interpreters.interpreter import look_at
    from odebench.run.executors import Environment

    for name, path in interpreters.items():
        what = f"interpreter of {name}"
        try:
            interpreter = look_at(path)
            plugin = interpreter.plugin(name)
        except InterpreterError as error:
            yield Finding(what, str(error), False)
            continue
        versions = [f"{one} {interpreter.version(one)}" for one in ("torch", plugin.distribution, *plugin.requires)]
        yield Finding(what, f"{interpreter.path}: {interpreter.python}, {', '.join(versions)}")
        yield _server(what, Environment(interpreter=str(interpreter.path), prefixes=(name,)))


def _server(what: str, environment: Environment) -> Finding:
    """Starts what forks the measured processes of a run, and waits until it says that it is ready."""
    way = environment.ways()[0]
    if way["mode"] != "fork":
        return Finding(
            what,
            "each measured part starts an interpreter of its own, which takes seconds on this system",
            False,
        )
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="odebench-doctor-") as scratch, tempfile.TemporaryFile() as log:
        mine, its = socket.socketpair()
        command = [
            environment.interpreter or sys.executable,
            "-m",
            "odebench.run.supervisor",
            str(its.fileno()),
            json.dumps(way | {"scratch": scratch}),
        ]
        with mine, its:
            process = subprocess.Popen(
                command, pass_fds=(its.fileno(),), stdout=log, stderr=log, cwd=scratch, env=environment.variables()
            )
            its.close()
            mine.settimeout(_START_LIMIT_S)
            try:
                answer = mine.makefile().readline()
            except TimeoutError:
                answer = ""
                process.kill()
        process.wait()  # The end of its socket is its order to go.
        log.seek(0)
        told = log.read().decode(errors="replace").strip().splitlines()
    if not answer:
        reason = told[-1] if told else f"it said nothing in {_START_LIMIT_S} s"
        return Finding(what, f"the server that forks measured processes does not start: {reason}", False)
    threads = json.loads(answer)["threads"]
    found = f"forked from a server that started in {time.monotonic() - start:.1f} s"
    if threads > 1:
        return Finding(
            what, f"{found}, but it has {threads} threads: new interpreters are used, which is slower", False
        )
    return Finding(what, found)


def _browser() -> Finding:
    for name in _BROWSERS:
        if path := shutil.which(name):
            return Finding("browser", f"{path}, for the tests of the report's page")
    return Finding("browser", "no chromium: the test that opens the report in a browser will be skipped", False)


def _cache() -> Finding:
    """Where references are kept that take long to compute."""
    from odebench.run.reference_cache import FOLDER_VARIABLE, cache_folder

    return writable("cache", cache_folder(), f"Choose another with {FOLDER_VARIABLE}.")


def writable(what: str, folder: Path, remedy: str) -> Finding:
    """Whether files can be made in `folder`, or in the nearest folder above it that there is."""
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    try:
        with tempfile.NamedTemporaryFile(dir=there, prefix=".odebench-doctor-"):
            pass
    except OSError as error:
        return Finding(what, f"{folder}: nothing can be written there: {error.strerror}. {remedy}", False)
    free = shutil.disk_usage(there).free
    found = f"{folder}: can be written, {free / 2**30:.1f} GiB free"
    return Finding(what, found, free > 2**28)


def _plugins(local_files: tuple[Path, ...], interpreters: Mapping[str, Path]) -> Iterator[Finding]:
    from odebench.interpreters.registry import build_wide_registry

    yield from _interpreters(interpreters)
    with build_wide_registry(interpreters, local_files=local_files, tolerant=True) as registry:
        yield from _loaded(registry, told=interpreters)


def _loaded(registry: Registry, told: Collection[str]) -> Iterator[Finding]:
    """The plugins, and why one did not load unless that was `told` already."""
    from odebench.cli.plugins import loaded_plugins, unavailable_solvers
    from odebench.plugins import DISABLE_VARIABLE

    names = [f"{one['plugin']} {one['version'] or ''}".strip() for one in loaded_plugins(registry)]
    yield Finding("plugins", ", ".join(names) or "none", bool(names))
    if disabled := os.environ.get(DISABLE_VARIABLE):
        yield Finding("plugins", f"{DISABLE_VARIABLE}={disabled} keeps some from being loaded", False)
    for failure in (failure for failure in registry.failures if failure.plugin not in told or failure.traceback):
        first = failure.message.splitlines()[0]
        yield Finding("plugins", f"{failure.plugin} did not load: {first}. `odebench plugins` shows all.", False)
    for plugin, (reason, _) in unavailable_solvers(registry).items():
        yield Finding("plugins", f"{plugin} cannot be used here: {reason}", False)
