"""Counts and memory of compiled solves, and what a plugin gets of a field in JAX. No JAX is needed here."""

import pytest
import torch

from odebench.contract import JaxField, ProgramMemory, Stats, jax_field_of, lend_jax_field
from odebench.errors import MeasurementError
from odebench.run.compiled_counts import compiled_counts
from odebench.run.counting import Counter, CountingField
from odebench.run.opaque import opaque


def counter(forward, backward=0, vjps=0):
    made = Counter()
    made.evaluations |= {"forward": forward, "backward": backward}
    made.vjps = vjps
    return made


def told(*forward):
    return tuple(Stats(evaluations_forward=each) for each in forward)


def test_what_a_solver_tells_counts_where_the_counted_solve_bears_it_out():
    counts = compiled_counts(told(259), told(253), counter(253, 500, 250))
    assert counts.values(backward=True) == {
        "nfe_forward": 259, "nfe_backward": 500, "vjps": 250, "nfe_method": "loop_counter",
    }  # fmt: skip


def test_what_a_solver_does_not_tell_is_counted():
    counts = compiled_counts(told(None), told(None), counter(1370))
    assert counts.values(backward=False) == {"nfe_forward": 1370, "nfe_method": "counted"}


def test_solves_of_one_answer_are_added_up():
    assert compiled_counts(told(5, 7), told(5, 7), counter(12)).forward == 12
    assert compiled_counts(told(5, None), told(5, None), counter(12)).method == "counted"


def test_a_solver_that_tells_another_count_is_found_out():
    with pytest.raises(MeasurementError, match="tells 6 evaluations .* its compiled program made 7"):
        compiled_counts(told(6), told(6), counter(7))


def test_memory_of_two_programs_is_held_together_where_the_first_leaves_something():
    there = ProgramMemory(method="xla-analysis", forward_peak_bytes=100, forward_bytes=40, backward_peak_bytes=50)
    assert there.peak_bytes == 100
    there.backward_peak_bytes = 70
    assert there.peak_bytes == 110


class Cooling(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(0.5))
        self.register_buffer("outside", torch.tensor(20.0))

    def forward(self, t, y):
        return self.rate * (self.outside - y)


def in_jax(t, y, p):
    return p["rate"] * (p["outside"] - y)


def test_weights_cross_by_the_names_of_the_module():
    module = Cooling()
    assert jax_field_of(module) is None
    module.jax_field = lambda: JaxField(function=in_jax)
    lent = jax_field_of(module)
    assert (lent.function, lent.names, list(lent.buffers)) == (in_jax, ("rate",), ["outside"])
    arrays = dict(zip(lent.names, module.parameters(), strict=True)) | lent.buffers
    y = torch.tensor([[3.0]])
    assert torch.equal(lent.function(0.0, y, arrays), module(0.0, y))


def test_an_opaque_field_offers_it_on_or_what_counts_in_its_place():
    module = Cooling()
    assert jax_field_of(opaque(module)) is None
    lent, other = (lend_jax_field(module, JaxField(function=in_jax)) for _ in range(2))
    module.jax_field = lambda: lent
    field = opaque(module)
    assert jax_field_of(field) is lent
    assert [p is q for p, q in zip(field.parameters(), module.parameters(), strict=True)] == [True]
    counting = CountingField(module, Counter())
    assert jax_field_of(opaque(module, counting)) is lent
    counting.jax_field = lambda: other
    assert jax_field_of(opaque(module, counting)) is other
