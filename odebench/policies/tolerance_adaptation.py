"""A tolerance as loose as the answers allow."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from odebench.contract import Field, GridRequest, Solver, State, StepPolicy, Tolerance, Trial, Try
from odebench.errors import IncompatibleError
from odebench.policies.checking import BuildSolver, adaptive_checking_solver
from odebench.policies.comparison import Comparison, tried
from odebench.policies.parameters import check_number, check_whole


class ToleranceAdaptation(StepPolicy):
    """Adapts the tolerance of an adaptive solver, so that the model stays a flow at the fewest evaluations.

    Every `check_every` iterations the batch is solved again by a test solver with the tolerance divided by `test_factor`, and
    with that divided by `test_refine` while the test takes no more evaluations than the iteration's own solve did (but not
    below `smallest_tolerance` / `test_factor`; a refined test whose metric is not finite is left aside):

    * Where the metric differs by more than `threshold`, the tolerance shrinks by `shrink`, down to `smallest_tolerance`, where
      it stays with a warning.
    * Otherwise `grow` times the tolerance is tried on the batch, no more than `largest_tolerance`, and kept where its metric
      agrees with that of the test, unless it takes exactly the evaluations that each of the last `unchanged` iterations took:
      a looser tolerance that saves nothing.

    A metric that is not finite, and a solve that raises DivergedError, agree with nothing: in the test it is a violation, in the
    trial of a looser tolerance a refusal. Where the iteration's own metric is not finite, no test is needed.

    Two tolerances rtol and atol that differ keep their ratio; the larger one is what is adapted. What each solve took must be
    told: `Trial.evaluations`.

    Cost: the evaluations of one or more solves by the test solver in each check, and where it agrees and the tolerance can grow,
    of one by the training's solver.

    Args:
        check_every: iterations from one check to the next.
        threshold: largest difference of the metric that counts as agreement.
        comparison: "absolute", or "relative": as a share of the larger of the two metrics.
        shrink: factor on the tolerance after a violation.
        grow: factor that is tried after an agreement.
        first_tolerance: rtol and atol of the first iteration, where none is asked for.
        largest_tolerance, smallest_tolerance: between which it stays.
        test_solver: a name, or a table with a name; None takes dopri5 below order 5, and the training's own solver from order 5
            on and for implicit ones.
        test_factor: how many times smaller the tolerance of the test is; None takes 5 for another solver and 10 for the same.
        test_refine: by what it is divided while the test takes no more evaluations.
        unchanged: iterations whose evaluations a looser tolerance must not repeat; 0 asks for no saving.

    Source: K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet After All? Neural ODEs and Their Numerical Solution", ICLR 2021,
    arXiv:2007.15386, supplement B, in the details of the authors' code; the caps of the tolerance are ours.
    """

    name = "tolerance-adaptation"
    chooses_first = True

    def __init__(
        self,
        *,
        check_every: int = 50,
        threshold: float = 0.1,
        comparison: str = "absolute",
        shrink: float = 0.5,
        grow: float = 1.1,
        first_tolerance: float = 1e-6,
        largest_tolerance: float = 0.1,
        smallest_tolerance: float = 1e-9,
        test_solver: str | dict[str, Any] | None = None,
        test_factor: float | None = None,
        test_refine: float = 10.0,
        unchanged: int = 5,
    ) -> None:
        check_whole("check_every", check_every, 1)
        check_whole("unchanged", unchanged, 0)
        check_number("shrink", shrink, above=0.0, below=1.0)
        check_number("grow", grow, above=1.0)
        check_number("test_refine", test_refine, above=1.0)
        check_number("largest_tolerance", largest_tolerance, above=0.0)
        check_number("smallest_tolerance", smallest_tolerance, above=0.0, most=largest_tolerance)
        if test_factor is not None:
            check_number("test_factor", test_factor, least=1.0)
        self.check_every = check_every
        self.comparison = Comparison(threshold=threshold, by=comparison)
        self.shrink, self.grow = shrink, grow
        self.first_tolerance = first_tolerance
        self.largest_tolerance, self.smallest_tolerance = largest_tolerance, smallest_tolerance
        self.test_solver, self.test_factor, self.test_refine = test_solver, test_factor, test_refine
        self.unchanged = unchanged
        self._iterations = 0
        self._recent: list[int] = []

    def supports(self, solver: Solver) -> str | None:
        """Adaptive solvers."""
        if not solver.adaptive:
            return f"Solver {solver.name!r} takes no tolerance that could be adapted. Use 'step-adaptation'."
        return None

    def begin(
        self,
        solver: Solver,
        build_solver: BuildSolver,
        field: Field,
        y0: State,
        ts: Sequence[float],
        grid: GridRequest | None,
    ) -> GridRequest:
        """The tolerance that was asked for, or `first_tolerance`; costs no evaluation. As `StepPolicy.begin` says."""
        if (reason := self.supports(solver)) is not None:
            raise IncompatibleError(f"Step policy 'tolerance-adaptation': {reason}")
        self._solver = solver
        self._checking = adaptive_checking_solver(solver, self.test_solver, build_solver)
        same = self._checking.name == solver.name
        self._factor = self.test_factor if self.test_factor is not None else (10.0 if same else 5.0)
        if grid is None:
            grid = Tolerance(rtol=self.first_tolerance, atol=self.first_tolerance)
        if not isinstance(grid, Tolerance):
            raise IncompatibleError(
                f"Step policy 'tolerance-adaptation' adapts a tolerance and was given a {type(grid).__name__}. Give a tolerance, or "
                "nothing, and it begins with `first_tolerance`."
            )
        self._asked, self._level = grid, max(grid.rtol, grid.atol)
        if not self.smallest_tolerance <= self._level <= self.largest_tolerance:
            raise IncompatibleError(
                f"Step policy 'tolerance-adaptation': the first tolerance is {self._level:g}; it must lie between "
                f"`smallest_tolerance` = {self.smallest_tolerance:g} and `largest_tolerance` = {self.largest_tolerance:g}."
            )
        self._iterations, self._recent = 0, []
        return self._tolerance(self._level)

    @property
    def due(self) -> bool:
        """Whether the next iteration is one with a check."""
        return (self._iterations + 1) % self.check_every == 0

    def after(self, own: Trial, attempt: Try) -> GridRequest:
        """The same tolerance, or in an iteration with a check what follows from it; as `StepPolicy.after` says."""
        due = self.due
        evaluations = _counted(own)
        self._iterations += 1
        self._recent = [*self._recent, evaluations][-self.unchanged :] if self.unchanged else []
        if due:
            self._level = self._checked(own.metric, evaluations, attempt)
        return self._tolerance(self._level)

    def state_dict(self) -> dict[str, Any]:
        """The tolerance, how many iterations there were, and what the last of them took."""
        return {"iterations": self._iterations, "tolerance": self._level, "recent": list(self._recent)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """As `StepPolicy.load_state_dict` says."""
        self._iterations, self._level, self._recent = state["iterations"], state["tolerance"], list(state["recent"])

    def _tolerance(self, level: float) -> Tolerance:
        largest = max(self._asked.rtol, self._asked.atol)
        return replace(
            self._asked, rtol=level * (self._asked.rtol / largest), atol=level * (self._asked.atol / largest)
        )

    def _checked(self, metric: float, evaluations: int, attempt: Try) -> float:
        """The tolerance after a check of one that gave this metric with so many evaluations."""
        test = self._test(evaluations, attempt) if math.isfinite(metric) else math.nan
        if not self.comparison.agree(metric, test):
            return self._tighter()
        looser = min(self.grow * self._level, self.largest_tolerance)
        if looser > self._level:
            trial = tried(attempt, self._solver, self._tolerance(looser))
            if self.comparison.agree(trial.metric, test) and not self._saves_nothing(_counted(trial)):
                return looser
        return self._level

    def _test(self, evaluations: int, attempt: Try) -> float:
        """The metric of the first test that takes more evaluations than `evaluations`, or of the tightest."""
        level = self._level / self._factor
        trial = tried(attempt, self._checking, self._tolerance(level))
        while math.isfinite(trial.metric) and _counted(trial) <= evaluations:
            level /= self.test_refine
            if level < self.smallest_tolerance / self._factor:
                break
            refined = tried(attempt, self._checking, self._tolerance(level))
            if not math.isfinite(refined.metric):
                break
            trial = refined
        return trial.metric

    def _saves_nothing(self, evaluations: int) -> bool:
        return 0 < self.unchanged == len(self._recent) and set(self._recent) == {evaluations}

    def _tighter(self) -> float:
        if self._level <= self.smallest_tolerance:
            warnings.warn(
                f"Step policy 'tolerance-adaptation': the metric still depends on the solver at a tolerance of "
                f"{self._level:g}, and `smallest_tolerance` allows no less.",
                RuntimeWarning,
                stacklevel=4,
            )
        return max(self.shrink * self._level, self.smallest_tolerance)


def _counted(trial: Trial) -> int:
    if trial.evaluations is None:
        raise IncompatibleError(
            "Step policy 'tolerance-adaptation' compares what solves cost and was not told how many evaluations one took. Give "
            "`evaluations`, such as `solution.stats.evaluations_forward`."
        )
    return trial.evaluations
