"""How far a run is: a bar in a terminal, a line now and then elsewhere. On stderr, where it disturbs no output."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from odebench.cli.output import cell_words, console, count, duration

if TYPE_CHECKING:
    from odebench.run.events import Event, Progress

#: Seconds between two lines where there is no terminal.
_EVERY_S = 10.0


class ProgressBar:
    """Shows the events of a run; give it to `run_plan` as `on_event`. Use as a context manager."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        self._console = console(stderr=True)
        self._live = self._console.is_terminal
        columns = (BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.fields[left]}"))
        columns += (TextColumn("{task.fields[now]}"),)
        # Drawn at events only: a thread that draws ten times a second would run beside what is timed.
        self._bar = Progress(*columns, console=self._console, transient=True, auto_refresh=False)
        self._task = self._bar.add_task("", total=None, left="", now="")
        self._now = ""
        self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        if self._live:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live:
            self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        from odebench.run.events import PartStarted, RunStarted

        if isinstance(event, RunStarted):
            said = [count(event.cells, "cell")]
            said += [f"{event.kept} kept from before"] if event.kept else []
            said += [f"{event.settled} not to be run"] if event.settled else []
            said.append(f"{count(event.progress.total, 'part')} to measure")
            self._console.print(", ".join(said))
        elif isinstance(event, PartStarted):
            self._now = f"{event.part} of {cell_words(event.cell)}"
        self._show(event.progress)

    def _show(self, progress: Progress) -> None:
        left = f"{duration(progress.remaining_s)} left" if progress.done < progress.total else ""
        if self._live:
            self._bar.update(
                self._task, completed=progress.done, total=progress.total, left=left, now=self._now, refresh=True
            )
        elif time.monotonic() - self._last_line > _EVERY_S:
            self._last_line = time.monotonic()
            self._console.print(", ".join(filter(None, (f"{progress.done}/{progress.total} parts", left, self._now))))
