"""How far a run is: bars in a terminal, a line now and then elsewhere. On stderr, where it disturbs no output."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from odebench.cli.output import cell_words, console, count, duration

if TYPE_CHECKING:
    from odebench.plan.cell import Cell
    from odebench.run.events import Event, PartProgress, Progress

#: Seconds between two lines where there is no terminal.
_EVERY_S = 10.0


class ProgressBar:
    """Shows the events of a run; give it to `run_plan` as `on_event`. Use as a context manager.

    One bar counts the parts of the run; each part that tells how far it is, such as a training, has one of its own below it, which
    counts its iterations and shows the loss and the time that is left.
    """

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
        self._under_way: dict[str, str] = {}
        self._bars: dict[str, int] = {}
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
        from odebench.run.events import Notice, PartFinished, PartProgress, PartStarted, RunStarted

        if isinstance(event, RunStarted):
            said = [count(event.cells, "cell")]
            said += [f"{event.kept} kept from before"] if event.kept else []
            said += [f"{event.settled} not to be run"] if event.settled else []
            said.append(f"{count(event.progress.total, 'part')} to measure")
            self._console.print(", ".join(said))
        elif isinstance(event, Notice):
            self._console.print(event.text)
        elif isinstance(event, PartStarted):
            self._now = f"{event.part} of {cell_words(event.cell)}"
        elif isinstance(event, PartProgress):
            self._follow(event)
        elif isinstance(event, PartFinished):
            self._forget(event.cell)
        self._show(event.progress)

    def _follow(self, event: PartProgress) -> None:
        """Show how far a part is."""
        cell = event.cell.id
        loss = "" if event.loss is None else f"loss {event.loss:.4g}"
        left = "" if event.remaining_s is None else f"{duration(event.remaining_s)} left"
        name = f"{event.cell.task.name} of {cell_words(event.cell)}"
        told = ", ".join(filter(None, (f"{event.done:,}/{event.total:,}", loss, left)))
        self._under_way[cell] = f"{name}: {told}"
        if self._live:
            if cell not in self._bars:
                self._bars[cell] = self._bar.add_task("", total=event.total, left="", now="")
            now = ", ".join(filter(None, (loss, name)))
            self._bar.update(self._bars[cell], completed=event.done, total=event.total, left=left, now=now)

    def _forget(self, cell: Cell) -> None:
        self._under_way.pop(cell.id, None)
        if cell.id in self._bars:
            self._bar.remove_task(self._bars.pop(cell.id))

    def _show(self, progress: Progress) -> None:
        left = f"{duration(progress.remaining_s)} left" if progress.done < progress.total else ""
        # Where bars of their own tell what is going on, the first one need not.
        now = "" if self._under_way else self._now
        if self._live:
            self._bar.update(
                self._task, completed=progress.done, total=progress.total, left=left, now=now, refresh=True
            )
        elif time.monotonic() - self._last_line > _EVERY_S:
            self._last_line = time.monotonic()
            said = (f"{progress.done}/{progress.total} parts", left, now, "; ".join(self._under_way.values()))
            self._console.print(", ".join(filter(None, said)))
