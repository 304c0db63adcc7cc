"""The rows that an aggregate of a claim looks at, and the groups that they make."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd

from odebench.outcome import Outcome
from odebench.plan.claim_text import OF_CONDITIONS
from odebench.plan.expression import Call, Node
from odebench.report.aggregates import Undecided, reduce
from odebench.report.rows import Rows

OK = Outcome.OK.word


class Chosen:
    """The rows of a frame that some conditions select together.

    Attributes:
        mask: which rows are selected; none before a figure is asked for.
        used: which of them hold the values that a figure is made of.
    """

    def __init__(self, frame: pd.DataFrame, text: str, conditions: Iterable[Node | None], allow: Iterable[str]) -> None:
        self._frame, self._text, self._rows = frame, text, Rows(frame, text)
        self._conditions = [node for node in conditions if node is not None]
        outcomes = frame["outcome"]
        self._failed = (outcomes != OK).to_numpy(dtype=bool)
        self._allowed = self._failed & outcomes.isin(list(allow)).to_numpy(dtype=bool)
        self.mask = np.zeros(len(frame), dtype=bool)
        self.used = np.zeros(len(frame), dtype=bool)

    def join(self, others: Iterable[Chosen]) -> None:
        """Add the rows that any of the others selects, and uses."""
        for other in others:
            self.mask |= other.mask
            self.used |= other.used

    def reduced(self, call: Call) -> float | bool:
        """The figure of a call over the rows.

        Raises:
            Undecided: there is none.
            ExpressionError: the call asks for what the frame does not have.
        """
        arrays, share = self._values(call)
        if not call.arguments:
            return float(self.mask.sum())
        return reduce(call.name, [array[self.used] for array in arrays], share)

    def by_group(self, call: Call) -> pd.Series:
        """The figure of a call for each group of the rows, by the group; raises as `reduced`."""
        arrays, share = self._values(call)
        keys = [self._rows.leaf(column) for column in call.by]
        for column, key in zip(call.by, keys, strict=True):
            if key[self.mask].isna().any():
                raise Undecided(f"a selected row has no {column.name} to be grouped by.")
        places, groups = pd.factorize(pd.MultiIndex.from_arrays([key[self.used] for key in keys]), sort=True)
        found = {}
        for place, group in enumerate(groups):
            part = [array[self.used][places == place] for array in arrays]
            found[group] = reduce(call.name, part, share) if part else float((places == place).sum())
        return pd.Series(found)

    def _values(self, call: Call) -> tuple[list[np.ndarray], float | None]:
        """Values of the arguments in every row of the frame, and the share of a quantile; sets `mask` and `used`."""
        self.mask[:] = True
        for node in self._conditions:
            self.mask &= self._rows.truth(node).fillna(False).to_numpy(dtype=bool)
        if not self.mask.any():
            raise Undecided("no row is selected.")
        arguments, share = _split(call)
        columns = [_wanted(self._rows, call.name, node) for node in arguments]
        self._refuse_failures()
        there = np.ones(len(self.mask), dtype=bool)
        for node, values in zip(arguments, columns, strict=True):
            absent = self.mask & values.isna().to_numpy(dtype=bool)
            there &= ~absent
            if (absent & ~self._allowed).any():
                raise Undecided(self._absence(node, absent & ~self._allowed))
        self.used = self.mask & there
        return [_array(values) for values in columns], share

    def _refuse_failures(self) -> None:
        lost = self.mask & self._failed & ~self._allowed
        if lost.any():
            rows = self._frame[lost]
            counts = ", ".join(f"{number} {word}" for word, number in Counter(rows["outcome"]).most_common())
            first = rows.iloc[0]
            told = f": {first['reason']}" if pd.notna(first["reason"]) else "."
            raise Undecided(
                f"{lost.sum()} of {self.mask.sum()} selected rows did not end ok ({counts}), such as cell "
                f"{first['cell_id']}{told}"
            )

    def _absence(self, node: Node, absent: np.ndarray) -> str:
        rows, what = self._frame[absent], node.of(self._text)
        told = next((text for text in rows["missing"].dropna() if what in text), "")
        task = rows.iloc[0].get("task")
        # Rows of another task, which a condition meant to leave out, are what is met most.
        of_task = f" of task {task!r}" if isinstance(task, str) else ""
        return (
            f"{absent.sum()} of {self.mask.sum()} selected rows have no {what}, such as cell {rows.iloc[0]['cell_id']}"
            + of_task
            + (f" ({told})." if told else ".")
        )


class Groups(Rows):
    """A table with a row for each group, and a column for each aggregate of its rows, by where that stands in the text."""

    def __init__(self, columns: Mapping[int, pd.Series], text: str) -> None:
        super().__init__(pd.DataFrame(columns), text)

    def leaf(self, node: Node) -> pd.Series:
        """The figures of an aggregate, a group each."""
        return self.table[node.start]

    def reduced(self, call: Call) -> float | bool:
        """The figure of a call over the groups; raises as `Chosen.reduced`."""
        if self.table.isna().to_numpy().any():
            raise Undecided("a group is there for one of its aggregates and not for another.")
        arguments, share = _split(call)
        columns = [_wanted(self, call.name, node) for node in arguments]
        if any(values.isna().any() for values in columns):
            raise Undecided("the figures of a group make no finite number.")
        return reduce(call.name, [_array(values) for values in columns], share)


def _split(call: Call) -> tuple[list[Node], float | None]:
    """The arguments that stand for values, and the share of a quantile."""
    arguments = list(call.arguments)
    return arguments, float(arguments.pop().value) if call.name == "quantile" else None


def _wanted(rows: Rows, name: str, node: Node) -> pd.Series:
    """What an aggregate wants of an argument: truths, anything that is there, or numbers."""
    if name in OF_CONDITIONS:
        return rows.truth(node)
    if name != "count":
        return rows.numbers(node)
    values = rows.values(node)
    return values if pd.api.types.is_bool_dtype(values) else values.notna().astype("boolean").mask(values.isna())


def _array(values: pd.Series) -> np.ndarray:
    """Values without a way to be missing, which is told elsewhere."""
    return (
        values.fillna(False).to_numpy(dtype=bool)
        if pd.api.types.is_bool_dtype(values)
        else values.to_numpy(dtype=float)
    )
