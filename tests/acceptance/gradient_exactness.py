"""Run the suite `gradient-exactness` and hold every exact method against rounding.

    python tests/acceptance/gradient_exactness.py FOLDER

Exits with 1 where a gradient of a method in `EXACT` that the solver could solve is neither within
100 eps(float64) √evaluations of the exact discrete gradient nor within what the grid makes of one such unit
(`grad_rounding`), or where its error is not known.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import odebench

SUITE = Path(__file__).parents[2] / "suites" / "gradient-exactness.toml"
EXACT = ("direct", "anode", "step-checkpoint", "revolve", "sqrt-checkpoint")


def main() -> int:
    """Run, select, compare."""
    folder = Path(sys.argv[1])
    subprocess.run(
        [sys.executable, "-m", "odebench", "run", str(SUITE), "--into", str(folder), "--no-report"], check=True
    )
    frame = odebench.load(folder)
    asked = frame[frame["gradient"].isin(EXACT)]
    solved = asked[asked["outcome"] == "ok"]
    error = solved["grad_error_discrete"].to_numpy(dtype=float, na_value=np.nan)
    unit = np.finfo(float).eps
    root = np.sqrt(solved[["nfe_forward", "nfe_backward"]].sum(axis=1).to_numpy(dtype=float))
    plain = 100 * unit * root
    amplified = 100 * np.maximum(unit, solved["grad_rounding"].to_numpy(dtype=float, na_value=0.0)) * root
    wrong = solved[~(error <= amplified)]
    print(
        f"{len(solved)} of {len(asked)} cells solved; {int((error <= plain).sum())} within 100 eps √evaluations, ",
        end="",
    )
    print(
        f"{int(((error > plain) & (error <= amplified)).sum())} within what the grid makes of rounding, {len(wrong)} wrong"
    )
    print(solved.assign(error=error).groupby("model")["error"].max().to_string())
    if len(wrong):
        print(wrong[["model", "solver", "gradient", "grad_error_discrete", "grad_rounding"]].to_string())
    return 1 if len(wrong) else 0


if __name__ == "__main__":
    sys.exit(main())
