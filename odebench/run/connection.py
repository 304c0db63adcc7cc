"""A supervisor of children, as who started it sees it: a process, and a socket over which each side tells the other. Without torch."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from odebench.run import processes


class Connection:
    """Starts a supervisor, gives it orders, and hears what it tells.

    Args:
        options: what `odebench.run.supervisor` takes.
        variables: its environment.
        scratch: its working directory.
        log: where what it prints goes.
        interpreter: path of another interpreter in which it is to run; None takes this one.

    Raises:
        OSError: it cannot be started.

    Attributes:
        control: the socket; readable when there is something to hear.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        variables: Mapping[str, str],
        *,
        scratch: Path,
        log: Path,
        interpreter: str | None = None,
    ) -> None:
        self._log, self._received = log, bytearray()
        self.control, its = socket.socketpair()
        command = [
            interpreter or sys.executable,
            "-m",
            "odebench.run.supervisor",
            str(its.fileno()),
            json.dumps(options),
        ]
        with its, open(log, "wb") as output:
            try:
                self._process = subprocess.Popen(
                    command,
                    pass_fds=(its.fileno(),),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=variables,
                    cwd=scratch,
                    start_new_session=True,  # Ctrl-C is for the launcher, which then ends the rest in order.
                )
            except OSError:
                self.control.close()
                raise

    def start(self, number: int, folder: Path, limit_s: float) -> None:
        """Have a child do what lies in `folder`; `limit_s` seconds after it began it is killed."""
        order = {"order": "start", "id": number, "folder": str(folder), "timeout_s": limit_s}
        self._send(order)  # Where it died, its socket's end will tell.

    def hear(self) -> list[dict[str, Any]] | None:
        """The messages that are there, whole ones only; None where it died."""
        try:
            data = self.control.recv(65536)
        except OSError:
            data = b""
        if not data:
            return None
        *lines, rest = bytes(self._received + data).split(b"\n")
        self._received = bytearray(rest)
        return [json.loads(line) for line in lines]

    def printed(self, most: int) -> str:
        """The end of what it printed."""
        return self._log.read_text(errors="replace")[-most:] if self._log.exists() else ""

    def dismiss(self, *, at_once: bool = False) -> None:
        """End it: the end of its socket makes it kill its children and go, unless it hangs and has to be killed `at_once`."""
        self._send({"order": "go"})
        self.control.close()
        if at_once:
            processes.kill(self._process.pid, group=True)
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _send(self, order: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.control.sendall(json.dumps(order).encode() + b"\n")
