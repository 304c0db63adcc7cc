"""Environments made in a moment: a bare one, in which the libraries of this one are found, and small distributions of its own.

Two versions of one library, `fancysolver`, contradict each other, and each of two plugins needs one of them: they can live in no
environment together.
"""

from __future__ import annotations

import shutil
import sysconfig
import textwrap
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]

FANCYSOLVER = {
    "1.0": """
        __version__ = "1.0"

        def step(field, t, dt, y):
            return y + dt * field(t, y)
        """,
    "2.0": """
        __version__ = "2.0"

        def advance(field, t, dt, y):
            return y + dt * field(t + dt / 2, y + dt / 2 * field(t, y))
        """,
}

FANCYONE = '''
    """What works with fancysolver 1.0 alone."""

    import fancysolver
    import odebench

    if fancysolver.__version__ != "1.0":
        raise ImportError(f"fancyone needs fancysolver 1.0, and this is {fancysolver.__version__}")


    class Euler(odebench.OneStepSolver):
        """Euler's method, as fancysolver 1.0 takes it."""

        name, order, stages, interpolant_order = "fancyone/euler", 1, 1, 0

        def __init__(self, *, share: float = 1.0, sizes: tuple = (1, 2)) -> None:
            if share <= 0:
                raise ValueError("share must be positive")
            self.share = share

        def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
            return odebench.Step(fancysolver.step(field, t, self.share * dt, y))


    class Recorded(odebench.GradientMethod):
        """Looks closely at the solver that it is given."""

        name, exact_for_discretisation, memory = "fancyone/recorded", True, "O(N s)"

        def supports(self, solver):
            if solver.order > 2:
                raise RuntimeError("an order that nobody foresaw")
            if isinstance(solver, Euler) or type(solver).__module__.startswith("odebench"):
                return None if solver.order == 1 else f"It takes order 1; {type(solver).__name__} has {solver.order}."
            return 7

        def solve(self, solver, field, y0, ts, grid, inputs=()):
            return solver.solve(field, y0, ts, grid, inputs)


    @odebench.hookimpl
    def odebench_register_solvers(register):
        register(Euler)


    @odebench.hookimpl
    def odebench_register_gradients(register):
        register(Recorded)
    '''

FANCYTWO = '''
    """What works with fancysolver 2.0 alone."""

    from fractions import Fraction as F

    import fancysolver
    import torch
    from torch import nn

    import odebench

    if fancysolver.__version__ != "2.0":
        raise ImportError(f"fancytwo needs fancysolver 2.0, and this is {fancysolver.__version__}")


    class Midpoint(odebench.OneStepSolver):
        """The midpoint rule, as fancysolver 2.0 takes it."""

        name, order, stages, interpolant_order = "fancytwo/midpoint", 2, 2, 0

        def step(self, field, t, dt, y, carry=None, *, error=False, dense=False):
            return odebench.Step(fancysolver.advance(field, t, dt, y))


    class Heun(odebench.ExplicitRungeKutta):
        """Heun's method: a tableau, and nothing of fancysolver."""

        name = "fancytwo/heun"
        tableau = odebench.ButcherTableau(order=2, c=(F(0), F(1)), a=((), (F(1),)), b=(F(1, 2), F(1, 2)))


    class Decay(nn.Module):
        def __init__(self, rate):
            super().__init__()
            self.rate = nn.Parameter(torch.tensor(rate, dtype=torch.float64))

        def forward(self, t, y):
            return -self.rate * y


    class Decaying(odebench.Model):
        """Exponential decay, with its closed form."""

        name = "fancytwo/decay"

        def __init__(self, *, rate: float = 1.0) -> None:
            self.rate = rate

        def problem(self, seed):
            y0 = torch.linspace(1.0, 2.0, 4, dtype=torch.float64).reshape(2, 2) * (1 + 0.1 * seed)
            exact = lambda problem, t: problem.y0 * torch.exp(-problem.field.rate * t)
            return odebench.Problem(field=Decay(self.rate), y0=y0, ts=(0.0, 1.0), exact=exact)


    @odebench.hookimpl
    def odebench_register_solvers(register):
        register(Midpoint)
        register(Heun)


    @odebench.hookimpl
    def odebench_register_models(register):
        register(Decaying)
    '''


def environment(folder: Path, *, hosted: bool = True) -> Path:
    """A new environment; the path of its interpreter.

    Args:
        folder: where.
        hosted: whether what is installed here is found there too, odebench first of all.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    if hosted:
        # Through `site`, which follows what is installed in place; what is tested comes before it.
        lines = [str(ROOT), f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})"]
        (packages(folder) / "host.pth").write_text("\n".join(lines) + "\n")
    return folder / "bin" / "python"


def packages(folder: Path) -> Path:
    """Where an environment's distributions lie."""
    (found,) = (folder / "lib").glob("python*/site-packages")
    return found


def install(folder: Path, name: str, version: str, code: str, *, plugin: bool = False, requires: str = "") -> Path:
    """Put a distribution of one module into an environment; its file.

    Args:
        folder: of the environment.
        name, version: of the module; a plugin's distribution has `odebench-` before it.
        code: of the module.
        plugin: whether it is one of odebench's.
        requires: a requirement of the distribution.
    """
    place = packages(folder)
    file = place / f"{name}.py"
    file.write_text(textwrap.dedent(code))
    distribution = f"odebench-{name}" if plugin else name
    for old in place.glob(f"{distribution.replace('-', '_')}-*.dist-info"):
        shutil.rmtree(old)
    info = place / f"{distribution.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = ["Metadata-Version: 2.1", f"Name: {distribution}", f"Version: {version}"]
    (info / "METADATA").write_text("\n".join([*lines, *([f"Requires-Dist: {requires}"] if requires else [])]) + "\n")
    (info / "RECORD").write_text(f"{name}.py,,\n")
    if plugin:
        (info / "entry_points.txt").write_text(f"[odebench]\n{name} = {name}\n")
    return file


def fancy(folder: Path, number: int) -> Path:
    """An environment with `fancysolver` 1.0 or 2.0 and the plugin that needs it; the path of its interpreter."""
    python = environment(folder)
    version, name, code = (("1.0", "fancyone", FANCYONE), ("2.0", "fancytwo", FANCYTWO))[number - 1]
    install(folder, "fancysolver", version, FANCYSOLVER[version])
    install(folder, name, f"{number}.5", code, plugin=True, requires=f"fancysolver=={version}")
    return python


def script(file: Path, text: str) -> Path:
    """An executable shell script."""
    file.write_text("#!/bin/sh\n" + textwrap.dedent(text))
    file.chmod(0o755)
    return file
