"""Every extension point of odebench, and nothing else.

`odebench hooks` and `docs/hooks.md` are made of what stands here: of each hook what it offers, when it is called, and a whole
file as an example.
"""

from __future__ import annotations

from collections.abc import Callable

import pluggy

hookspec = pluggy.HookspecMarker("odebench")
hookimpl = pluggy.HookimplMarker("odebench")


@hookspec
def odebench_register_solvers(register: Callable[[object], None]) -> None:
    """Offer solvers: call `register(MySolver)` once for each.

    A class is built with the parameters of a suite's table; an instance is offered as it is.

    Called:
        once, when the plugin is loaded: by every command that has to know what there is, and in each measured process whose
        cell uses something of this plugin. Registering builds nothing, so heavy imports can wait for `solve`.

    Example:
        import odebench


        class Midway(odebench.OneStepSolver):
            '''The explicit midpoint rule.'''

            name, order = "midway", 2

            def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
                return odebench.Step(y + dt * field(t + dt / 2, y + dt / 2 * field(t, y)))


        @odebench.hookimpl
        def odebench_register_solvers(register):
            register(Midway)
    """


@hookspec
def odebench_register_gradients(register: Callable[[object], None]) -> None:
    """Offer gradient methods: call `register(MyGradientMethod)` once for each.

    A gradient method is given a solver and returns its solution with a backward of its own.

    Called:
        once, when the plugin is loaded, after its solvers are registered.

    Example:
        import odebench


        class Recorded(odebench.GradientMethod):
            '''Autograd through every step.'''

            name, exact_for_discretisation, memory = "recorded", True, "O(N s)"

            def solve(self, solver, field, y0, ts, grid, inputs=()):
                return solver.solve(field, y0, ts, grid, inputs)


        @odebench.hookimpl
        def odebench_register_gradients(register):
            register(Recorded)
    """


@hookspec
def odebench_register_models(register: Callable[[object], None]) -> None:
    """Offer models: call `register(MyModel)` once for each.

    A model builds a seeded problem: a field, initial states, output times and, where it is known, the solution.

    Called:
        once, when the plugin is loaded, after its gradient methods are registered.

    Example:
        import odebench
        import torch


        class Decay(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.rate = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

            def forward(self, t, y):
                return -self.rate * y


        class Decaying(odebench.Model):
            '''y' = -r y.'''

            name = "decaying"

            def problem(self, seed):
                y0 = 1 + torch.rand(8, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
                exact = lambda problem, t: problem.y0 * (-problem.field.rate * t).exp()
                return odebench.Problem(field=Decay(), y0=y0, ts=(0.0, 1.0), exact=exact)


        @odebench.hookimpl
        def odebench_register_models(register):
            register(Decaying)
    """


@hookspec
def odebench_register_tasks(register: Callable[[object], None]) -> None:
    """Offer tasks: call `register(MyTask)` once for each.

    A task is a kind of question: what is run and timed in the measured process, and how the host judges the answer.

    Called:
        once, when the plugin is loaded, after its models are registered.

    Example:
        import odebench
        from odebench.contract import relative_error


        class Endpoint(odebench.Task):
            '''How far the last state is from the solution.'''

            name = "endpoint"

            def forward(self, setting, y0):
                ts = (setting.problem.ts[0], setting.problem.ts[-1])
                solution = setting.solver.solve(setting.field, y0, ts, setting.grid)
                return odebench.Answer(states={"y1": solution.y1.detach()}, grid=solution.grid)

            def judge(self, answer, known):
                reference = known.solution((known.problem.ts[-1],))
                return {"error_final": relative_error(answer["y1"], reference.value[0], reference.uncertainty)}


        @odebench.hookimpl
        def odebench_register_tasks(register):
            register(Endpoint)
    """


@hookspec
def odebench_register_step_policies(register: Callable[[object], None]) -> None:
    """Offer step policies: call `register(MyStepPolicy)` once for each.

    A step policy decides the step or the tolerance from iteration to iteration of a training.

    Called:
        once, when the plugin is loaded, after its tasks are registered.

    Example:
        import odebench


        class Halving(odebench.StepPolicy):
            '''Twice as many steps after every `every` iterations.'''

            name, chooses_first = "halving", True

            def __init__(self, *, every: int = 1000):
                self.every, self.seen = every, 0

            def begin(self, solver, build_solver, field, y0, ts, grid):
                return odebench.StepSize(steps=1)

            def after(self, own, attempt):
                self.seen += 1
                return odebench.StepSize(steps=2 ** (self.seen // self.every))

            def state_dict(self):
                return {"seen": self.seen}

            def load_state_dict(self, state):
                self.seen = state["seen"]


        @odebench.hookimpl
        def odebench_register_step_policies(register):
            register(Halving)
    """
