"""The look of every figure: seaborn's, with our type sizes and inks, for as long as we draw and no longer."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator

import matplotlib as mpl
import seaborn

INK, FAINT = "#1d2733", "#5d6b7a"
_OWN = {
    # One font that comes with matplotlib: a figure looks the same on every machine.
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 3.5,
    "ytick.major.size": 3.5,
    "xtick.minor.size": 2.0,
    "ytick.minor.size": 2.0,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e3e8ee",
    "savefig.facecolor": "white",
    # A method may be called `$x`; names are words, never formulas.
    "text.parse_math": False,
    "text.usetex": False,
    "axes.unicode_minus": True,
    "path.sketch": None,
    # The same report twice gives the same bytes.
    "svg.hashsalt": "odebench",
    "svg.fonttype": "path",
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Our settings of matplotlib for a while; a sign that the font lacks is drawn as a box, which is no reason to warn."""
    settings = {**seaborn.axes_style("ticks"), **seaborn.plotting_context("paper"), **_OWN}
    with mpl.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        yield
