"""Unlabelled rooted trees: the index set of the order conditions of a Runge-Kutta method.

A tree is its bag of children. Its order is the number of vertices; every tree of order p or less gives one condition
for order p, so there are 1, 2, 4, 8, 17, 37, 85, 200 conditions for the orders 1 to 8.

Source: J. C. Butcher, "Numerical Methods for Ordinary Differential Equations", 3rd ed., chapter 3;
E. Hairer, S. P. Nørsett, G. Wanner, "Solving Ordinary Differential Equations I", 2nd ed., section II.2.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cache, cached_property


@dataclass(frozen=True)
class Tree:
    """One unlabelled rooted tree.

    Args:
        children: the subtrees that hang on the root, in any order; two trees are equal when they are the same up to
            the order of children at every vertex.
    """

    children: tuple["Tree", ...] = ()

    def __post_init__(self) -> None:
        # A canonical order of the children makes equality of tuples equality of trees.
        object.__setattr__(self, "children", tuple(sorted(self.children, key=Tree.sort_key)))

    def sort_key(self) -> tuple[int, str]:
        """By order, then by notation: a total order over trees."""
        return self.order, str(self)

    @cached_property
    def order(self) -> int:
        """Number of vertices."""
        return 1 + sum(child.order for child in self.children)

    @cached_property
    def density(self) -> int:
        """gamma(t): the order of the tree times the densities of its children."""
        return self.order * math.prod(child.density for child in self.children)

    @cached_property
    def symmetry(self) -> int:
        """sigma(t): how many relabellings of the vertices leave the tree as it is."""
        repeats = (self.children.count(child) for child in set(self.children))
        return math.prod(math.factorial(n) for n in repeats) * math.prod(child.symmetry for child in self.children)

    @cached_property
    def _notation(self) -> str:
        return "[" + "".join(str(child) for child in self.children) + "]" if self.children else "."

    def __str__(self) -> str:
        """Bracket notation: `.` is the single vertex, `[..]` a root with two leaves, `[[.]]` a path of three."""
        return self._notation


@cache
def trees_of_order(order: int) -> tuple[Tree, ...]:
    """All rooted trees with exactly `order` vertices, each once; none for `order` below 1."""
    if order < 1:
        return ()
    return tuple(Tree(children) for children in _forests(order - 1, order - 1))


def trees_up_to_order(order: int) -> tuple[Tree, ...]:
    """All rooted trees with at most `order` vertices, smaller trees first."""
    return tuple(tree for n in range(1, order + 1) for tree in trees_of_order(n))


@cache
def _forests(vertices: int, largest: int) -> tuple[tuple[Tree, ...], ...]:
    """All bags of trees with `vertices` vertices in all and no tree of more than `largest` vertices."""
    if vertices == 0:
        return ((),)
    if largest == 0:
        return ()
    forests = []
    # First how many trees have exactly `largest` vertices and which, then fill what is left with smaller ones.
    for count in range(vertices // largest + 1):
        for bag in itertools.combinations_with_replacement(trees_of_order(largest), count):
            forests += [bag + rest for rest in _forests(vertices - count * largest, largest - 1)]
    return tuple(forests)
