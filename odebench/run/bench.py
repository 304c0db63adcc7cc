"""A cell's plugins, built and set up to be measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from odebench.contract import (
    Field,
    GradientMethod,
    GridRequest,
    Problem,
    Setting,
    Solver,
    State,
    StepSize,
    Task,
    Tolerance,
    TrainedStep,
)
from odebench.errors import CompileError, MeasurementError
from odebench.plan.cell import Cell, Choice
from odebench.plugins import Registry
from odebench.run.engine import Engine, start_engine
from odebench.run.jax_twin import attach_jax_field
from odebench.run.opaque import opaque_network

#: How far, relatively, the other initial states lie from the problem's: enough to tell answers apart, too little to change the problem.
_PERTURBATION = {torch.float64: 1e-4, torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 6e-2}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is measured.

    Attributes:
        cell: the question.
        task, solver, gradient: built as the cell says.
        problem: in the cell's dtype on its device; its field is the module itself, and no plugin may see it.
        device: where it lies.
        engine: what solves in the compiled engine; None where the cell is not compiled.
    """

    cell: Cell
    task: Task
    solver: Solver
    gradient: GradientMethod | None
    problem: Problem
    device: torch.device
    engine: Engine | None = None

    def setting(self, wrap: Callable[[nn.Module], Field]) -> Setting:
        """What the task is given: everything, with `wrap(field)` in the place of each field."""
        network, engine, solver, gradient = self.problem.network, self.engine, self.solver, self.gradient
        if engine is not None:
            wrap, solver = engine.wrapper(wrap), engine.solver(solver)
            gradient = None if gradient is None else engine.gradient(gradient)
        return Setting(
            problem=replace(
                self.problem,
                field=wrap(self.problem.field),
                network=None if network is None else opaque_network(network, wrap),
            ),
            solver=solver,
            gradient=gradient,
            grid=grid_request(self.cell.grid),
        )

    def prepare(self, setting: Setting) -> None:
        """Run the task once where the cell is compiled, so that all that it needs has been compiled."""
        if self.engine is None:
            return
        self.forget_gradients()
        torch.manual_seed(self.cell.seed)
        try:
            answer = self.task.forward(setting, self.start(0))
            if answer.backward is not None:
                answer.backward()
        except CompileError as refusal:  # of the way back; the way there is solved without by the engine itself
            self.engine.refuse(refusal)
        self.forget_gradients()

    def start(self, index: int) -> State:
        """A fresh initial state: 0 is the problem's, each other index has a seeded perturbation of its own.

        Each element is scaled by 1 ± s·u with u between 0.5 and 1, all of them up at even indices and down at odd ones: in a large
        batch, perturbations of random signs would leave every mean as it was.
        """
        leaves = self.leaves
        if index:
            generator = torch.Generator().manual_seed(1_000_003 * self.cell.seed + index)
            scale = _PERTURBATION[leaves[0].dtype] * (-1.0) ** index
            leaves = tuple(_perturbed(leaf, scale, generator) for leaf in leaves)
        fresh = tuple(leaf.detach().clone() for leaf in leaves)
        return fresh if isinstance(self.problem.y0, tuple) else fresh[0]

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """The tensors of the problem's initial state."""
        return self.problem.y0 if isinstance(self.problem.y0, tuple) else (self.problem.y0,)

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """All tensors that the field owns as parameters, frozen ones too."""
        return tuple(self.problem.field.parameters())

    @property
    def loss_parameters(self) -> tuple[Tensor, ...]:
        """The tensors that the loss owns as parameters: of a readout, for example."""
        return tuple(self.problem.loss.parameters()) if isinstance(self.problem.loss, nn.Module) else ()

    @property
    def constants(self) -> tuple[Tensor, ...]:
        """All tensors that the problem's modules brought along."""
        buffers = [*self.problem.field.buffers()]
        buffers += self.problem.loss.buffers() if isinstance(self.problem.loss, nn.Module) else ()
        return (*self.parameters, *self.loss_parameters, *buffers)

    def forget_gradients(self) -> None:
        """Set the parameters' gradients to None, as before a training step."""
        for parameter in (*self.parameters, *self.loss_parameters):
            parameter.grad = None

    def synchronise(self) -> None:
        """Wait until the device has done all that it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def load_bench(cell: Cell, registry: Registry) -> Bench:
    """Build everything that `cell` names.

    Raises:
        OdebenchError: a plugin is not there, or refuses its parameters; the solver takes fields in JAX, and the model's is missing
            or is another one.
    """
    problem = build_problem(cell, registry)
    solver = build("solver", cell.solver, registry)
    if solver.fields_in == "jax":
        attach_jax_field(build("model", cell.model, registry), problem)
    return Bench(
        cell=cell,
        task=build("task", cell.task, registry),
        solver=solver,
        gradient=None if cell.gradient is None else build("gradient", cell.gradient, registry),
        problem=problem,
        device=torch.device(cell.device),
        engine=start_engine(cell.compile),
    )


def build(kind: str, choice: Choice, registry: Registry) -> Any:
    """What `choice` names, with its parameters."""
    return registry.get(kind, choice.name).build(**choice.parameters)


def build_problem(cell: Cell, registry: Registry) -> Problem:
    """The cell's problem, in its dtype on its device."""
    return build("model", cell.model, registry).problem(cell.seed).to(dtype_of(cell), cell.device)


def dtype_of(cell: Cell) -> torch.dtype:
    """The cell's dtype.

    Raises:
        MeasurementError: torch has none of that name.
    """
    dtype = getattr(torch, cell.dtype, None)
    if dtype not in _PERTURBATION:
        names = ", ".join(str(known).removeprefix("torch.") for known in _PERTURBATION)
        raise MeasurementError(f"The cell's dtype is {cell.dtype!r}; it must be one of {names}.")
    return dtype


def grid_request(grid: dict[str, Any]) -> GridRequest | TrainedStep | None:
    """The contract's form of a cell's grid; None for an empty one.

    Raises:
        GridError: numbers that describe no grid.
    """
    if not grid:
        return None
    if "factor" in grid:
        return TrainedStep(**grid)
    return Tolerance(**grid) if "rtol" in grid else StepSize(**grid)


def _perturbed(leaf: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    noise = 0.5 + 0.5 * torch.rand(leaf.shape, generator=generator, dtype=torch.float64)
    return (leaf.detach().cpu().double() * (1.0 + scale * noise)).to(dtype=leaf.dtype, device=leaf.device)
