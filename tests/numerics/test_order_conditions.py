"""Trees, order conditions, and the order of every Runge-Kutta method that comes with odebench."""

import importlib
import math
import pkgutil
from decimal import Decimal
from fractions import Fraction as F

import pytest

import odebench.solvers
from odebench.errors import TableauError
from odebench.numerics.order_conditions import (
    check_dense_order,
    check_embedded_order,
    check_order,
    dense_order_conditions,
    embedded_order_conditions,
    largest_residual,
    order_conditions,
)
from odebench.numerics.tableau import ButcherTableau
from odebench.numerics.trees import Tree, trees_of_order, trees_up_to_order

# Found in the folder, so that a method that is added later cannot escape its order conditions.
TABLEAUX = {
    module.name: importlib.import_module(f"odebench.solvers.{module.name}")._TABLEAU
    for module in pkgutil.iter_modules(odebench.solvers.__path__)
    if hasattr(importlib.import_module(f"odebench.solvers.{module.name}"), "_TABLEAU")
}
EXACT = {name: tableau for name, tableau in TABLEAUX.items() if not tableau.rounded}
EMBEDDED = {name: tableau for name, tableau in TABLEAUX.items() if tableau.b_error is not None}
DENSE = {name: tableau for name, tableau in TABLEAUX.items() if tableau.dense is not None}

# name: (order, embedded order, dense order), typed from the papers
EXPLICIT = {
    "euler": (1, None, None),
    "midpoint": (2, None, None),
    "heun": (2, None, None),
    "ralston": (2, None, None),
    "adaptive_heun": (2, 1, None),
    "fehlberg21": (2, 1, None),
    "heun3": (3, None, None),
    "ssprk3": (3, None, None),
    "bosh3": (3, 2, None),
    "rk4": (4, None, None),
    "rk38": (4, None, None),
    "dopri5": (5, 4, 4),
    "tsit5": (5, 4, 4),
    "dopri8": (8, 7, 5),
}

# Butcher, "Numerical Methods for Ordinary Differential Equations", table of trees up to order 5:
# notation: (density gamma, symmetry sigma)
BUTCHER_TABLE = {
    ".": (1, 1),
    "[.]": (2, 1),
    "[..]": (3, 2),
    "[[.]]": (6, 1),
    "[...]": (4, 6),
    "[.[.]]": (8, 1),
    "[[..]]": (12, 2),
    "[[[.]]]": (24, 1),
    "[....]": (5, 24),
    "[..[.]]": (10, 2),
    "[.[..]]": (15, 2),
    "[.[[.]]]": (30, 1),
    "[[.][.]]": (20, 2),
    "[[...]]": (20, 6),
    "[[.[.]]]": (40, 1),
    "[[[..]]]": (60, 2),
    "[[[[.]]]]": (120, 1),
}


def parameters(tableaux):
    return pytest.mark.parametrize("tableau", [pytest.param(tableau, id=name) for name, tableau in tableaux.items()])


@pytest.mark.parametrize(("order", "count"), list(enumerate([0, 1, 1, 2, 4, 9, 20, 48, 115])))
def test_there_are_as_many_rooted_trees_as_known(order, count):
    """The sequence A000081 of the On-Line Encyclopedia of Integer Sequences."""
    trees = trees_of_order(order)
    assert len(trees) == len(set(trees)) == count
    assert all(tree.order == order for tree in trees)


def test_trees_up_to_order_eight_are_two_hundred_smaller_first():
    orders = [tree.order for tree in trees_up_to_order(8)]
    assert len(orders) == 200
    assert orders == sorted(orders)


def test_density_and_symmetry_agree_with_butchers_table():
    assert {str(tree): (tree.density, tree.symmetry) for tree in trees_up_to_order(5)} == BUTCHER_TABLE


@pytest.mark.parametrize("order", range(1, 9))
def test_trees_count_their_labellings(order):
    """n!/sigma labellings of each tree make Cayley's n**(n-1); n!/(sigma gamma) of them grow from the root: (n-1)!."""
    trees = trees_of_order(order)
    assert sum(F(math.factorial(order), tree.symmetry) for tree in trees) == order ** (order - 1)
    assert sum(F(math.factorial(order), tree.symmetry * tree.density) for tree in trees) == math.factorial(order - 1)


def test_the_order_of_children_makes_no_other_tree():
    leaf, path = Tree(), Tree((Tree(),))
    assert Tree((leaf, path)) == Tree((path, leaf))
    assert hash(Tree((leaf, path))) == hash(Tree((path, leaf)))


def test_residuals_are_the_sums_written_out_by_hand():
    """A tableau of no particular order, so that every residual is another number."""
    c = (F(0), F(1, 3), F(3, 5), F(7, 8))
    a = ((), (F(1, 3),), (F(1, 10), F(1, 2)), (F(2, 7), F(-1, 4), F(7, 8) - F(2, 7) + F(1, 4)))
    b = (F(1, 11), F(2, 11), F(3, 11), F(5, 11))
    tableau = ButcherTableau(order=1, c=c, a=a, b=b)
    stages = range(4)
    full = [[*row, *[0] * (4 - len(row))] for row in a]

    def times_a(v):
        return [sum(full[i][j] * v[j] for j in stages) for i in stages]

    ac, ac2 = times_a(c), times_a([x**2 for x in c])
    by_hand = {
        ".": sum(b) - 1,
        "[.]": sum(b[i] * c[i] for i in stages) - F(1, 2),
        "[..]": sum(b[i] * c[i] ** 2 for i in stages) - F(1, 3),
        "[[.]]": sum(b[i] * ac[i] for i in stages) - F(1, 6),
        "[...]": sum(b[i] * c[i] ** 3 for i in stages) - F(1, 4),
        "[.[.]]": sum(b[i] * c[i] * ac[i] for i in stages) - F(1, 8),
        "[[..]]": sum(b[i] * ac2[i] for i in stages) - F(1, 12),
        "[[[.]]]": sum(b[i] * times_a(ac)[i] for i in stages) - F(1, 24),
        "[....]": sum(b[i] * c[i] ** 4 for i in stages) - F(1, 5),
        "[..[.]]": sum(b[i] * c[i] ** 2 * ac[i] for i in stages) - F(1, 10),
        "[.[..]]": sum(b[i] * c[i] * ac2[i] for i in stages) - F(1, 15),
        "[.[[.]]]": sum(b[i] * c[i] * times_a(ac)[i] for i in stages) - F(1, 30),
        "[[.][.]]": sum(b[i] * ac[i] ** 2 for i in stages) - F(1, 20),
        "[[...]]": sum(b[i] * times_a([x**3 for x in c])[i] for i in stages) - F(1, 20),
        "[[.[.]]]": sum(b[i] * times_a([c[j] * ac[j] for j in stages])[i] for i in stages) - F(1, 40),
        "[[[..]]]": sum(b[i] * times_a(ac2)[i] for i in stages) - F(1, 60),
        "[[[[.]]]]": sum(b[i] * times_a(times_a(ac))[i] for i in stages) - F(1, 120),
    }
    assert {str(condition.tree): condition.residual for condition in order_conditions(tableau, 5)} == by_hand


def test_every_explicit_method_claims_the_orders_of_its_paper():
    claimed = {name: (t.order, t.embedded_order, t.dense_order) for name, t in TABLEAUX.items() if not t.implicit}
    assert claimed == EXPLICIT


@parameters(TABLEAUX)
def test_a_method_has_the_order_that_it_claims_and_no_more(tableau):
    assert check_order(tableau) == []
    assert check_order(tableau, tableau.order + 1) != []


@parameters(EXACT)
def test_conditions_of_exact_tableaux_hold_exactly(tableau):
    assert {condition.residual for condition in order_conditions(tableau, tableau.order)} == {0}


@pytest.mark.parametrize(
    ("name", "trees", "bound", "embedded_bound", "dense_bound"),
    [("tsit5", 17, 1.1e-15, 1.1e-15, 3.3e-14), ("dopri8", 200, 6.6e-18, 6.5e-18, 1.3e-15)],
)
def test_conditions_of_rounded_tableaux_hold_as_far_as_their_digits(name, trees, bound, embedded_bound, dense_bound):
    """All 200 trees for dopri8. Beyond its order the first residual is 8.3e-6, so that nothing hides in the rounding."""
    tableau = TABLEAUX[name]
    conditions = order_conditions(tableau, tableau.order)
    assert len(conditions) == trees
    assert 0 < largest_residual(conditions) < bound
    assert largest_residual(embedded_order_conditions(tableau, tableau.embedded_order)) < embedded_bound
    assert largest_residual(dense_order_conditions(tableau, tableau.dense_order)) < dense_bound
    assert largest_residual(order_conditions(tableau, tableau.order + 1)) > 1e-6


@parameters(EMBEDDED)
def test_an_embedded_method_has_the_order_that_it_claims_and_no_more(tableau):
    assert check_embedded_order(tableau) == []
    assert check_embedded_order(tableau, tableau.embedded_order + 1) != []


@parameters(DENSE)
def test_a_continuous_extension_has_the_order_that_it_claims_and_no_more(tableau):
    assert check_dense_order(tableau) == []
    assert check_dense_order(tableau, tableau.dense_order + 1) != []


@parameters(DENSE)
def test_a_continuous_extension_starts_with_the_slope_of_the_first_stage(tableau):
    slopes = [row[0] for row in tableau.dense]
    assert slopes == pytest.approx([1] + [0] * (tableau.stages - 1), abs=1e-15)


def test_a_wrong_coefficient_is_found():
    """A sign error in one row of dopri5, with the row sum kept so that only the order conditions can see it."""
    good = TABLEAUX["dopri5"]
    row = list(good.a[4])
    row[1], row[0] = -row[1], row[0] + 2 * row[1]
    bad = ButcherTableau(order=5, c=good.c, a=(*good.a[:4], tuple(row), *good.a[5:]), b=good.b)
    violated = check_order(bad)
    assert violated
    assert "misses 1/" in str(violated[0])
    assert violated[0].tree.order == 3


def test_diagonally_implicit_methods_are_checked_by_the_same_conditions():
    half = F(1, 2)
    midpoint = ButcherTableau(order=2, c=(half,), a=((half,),), b=(1,))
    trapezoid = ButcherTableau(order=2, c=(0, 1), a=((0,), (half, half)), b=(half, half))
    for tableau in (midpoint, trapezoid):
        assert check_order(tableau) == []
        assert check_order(tableau, 3) != []
    # Crouzeix's method of order 3 has an irrational coefficient, thus decimals
    gamma = (3 + Decimal(3).sqrt()) / 6
    crouzeix = ButcherTableau(
        order=3, c=(gamma, 1 - gamma), a=((gamma,), (1 - 2 * gamma, gamma)), b=(half, half), embedded_order=None
    )
    assert crouzeix.rounded
    assert check_order(crouzeix) == []
    assert check_order(crouzeix, 4) != []
    assert check_order(crouzeix, tolerance=F(0)) != []


def test_what_a_tableau_lacks_cannot_be_checked():
    with pytest.raises(TableauError, match="no embedded method"):
        check_embedded_order(TABLEAUX["rk4"])
    with pytest.raises(TableauError, match="no continuous extension"):
        check_dense_order(TABLEAUX["rk4"])
