"""A neural ODE as a block: stacked, nested, compiled, distributed, in half precision; and what a network of blocks keeps."""

from __future__ import annotations

import copy
import gc
import itertools
import os
import pickle
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import odebench
from odebench.errors import GridError, IncompatibleError, OdebenchError
from odebench.nn import ODEBlock
from odebench.numerics.storage_tracker import StorageTracker

DISCRETE = ("direct", "anode", "step-checkpoint", "revolve", "sqrt-checkpoint", {"name": "anode", "slots": 2})


class Field(nn.Module):
    """Depends on the time; `seed` tells fields apart."""

    def __init__(self, size: int = 6, seed: int = 0, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(nn.Linear(size, 8), nn.Tanh(), nn.Linear(8, size)).to(dtype)

    def forward(self, t, z):
        return self.layers(z) * (1 + t)


def inputs(dtype=torch.float64, rows=4):
    return torch.linspace(-1, 1, rows * 6, dtype=dtype).reshape(rows, 6).requires_grad_()


def gradients(network, z, amount=None):
    out = network(z)
    value = (out * torch.linspace(1, 2, out.numel(), dtype=out.dtype).reshape(out.shape)).sum()
    return torch.autograd.grad(value, (z, *network.parameters()))


def close(got, expected, bound=1e-12):
    for g, e in zip(got, expected, strict=True):
        assert ((g - e).norm() / e.norm().clamp_min(1e-30)).item() < bound


def test_a_block_is_the_solve_of_its_field():
    field, z = Field(), inputs()
    block = ODEBlock(field, solver="heun", steps=7, span=(0.5, -0.5))
    expected = odebench.solve(field, z, (0.5, -0.5), solver="heun", steps=7)
    assert torch.equal(block(z), expected.y1)
    assert block.stats == expected.stats and torch.equal(block.latest_grid.t, expected.grid.t)
    adaptive = ODEBlock(field, rtol=1e-5)
    assert torch.equal(adaptive(z), odebench.solve(field, z, (0.0, 1.0), rtol=1e-5).y1)
    assert set(dict(block.named_parameters())) == {f"field.{name}" for name, _ in field.named_parameters()}
    assert "heun" in repr(block) and "direct" in repr(block) and "steps=7" in repr(block)
    path = block.solve(z, (0.5, 0.0, -0.5))
    assert path.ys.shape == (3, 4, 6)
    pair = ODEBlock(_Pair(), solver="rk4", steps=3)
    assert [leaf.shape for leaf in pair((z, z[:, :2]))] == [(4, 6), (4, 2)]


class _Pair(nn.Module):
    def forward(self, t, state):
        return tuple(-leaf for leaf in state)


def test_a_field_without_time_and_tensors_from_outside():
    plain = nn.Sequential(nn.Linear(6, 6), nn.Tanh()).double()
    z, context = inputs(), torch.ones(6, dtype=torch.float64, requires_grad=True)
    block = ODEBlock(plain, solver="euler", steps=2, takes_time=False, gradient="anode")
    once = z + 0.5 * plain(z)
    torch.testing.assert_close(block(z), once + 0.5 * plain(once), rtol=1e-14, atol=1e-15)

    class Driven(nn.Module):
        def forward(self, t, z):
            return z * context

    driven = ODEBlock(Driven(), solver="euler", steps=1, gradient="revolve")
    (got,) = torch.autograd.grad(driven(z, (context,)).sum(), context)
    torch.testing.assert_close(got, z.sum(0))


def network(method, share=False):
    first = Field(seed=1)
    return nn.Sequential(
        ODEBlock(first, solver="euler", steps=3, gradient=method),
        nn.Linear(6, 6, dtype=torch.float64),
        ODEBlock(Field(seed=2), solver="rk4", steps=4, gradient=method),
        ODEBlock(first if share else Field(seed=3), solver="dopri5", rtol=1e-4, atol=1e-5, gradient=method),
    )


@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("method", DISCRETE[1:], ids=str)
def test_several_blocks_with_different_solvers(method, share):
    torch.manual_seed(0)
    expected = network("direct", share)
    got = network(method, share)
    got.load_state_dict(expected.state_dict())
    close(gradients(got, inputs()), gradients(expected, inputs()))


@pytest.mark.parametrize("outer", DISCRETE, ids=str)
@pytest.mark.parametrize("inner", ["direct", "anode", "revolve"])
def test_a_block_inside_the_field_of_a_block(inner, outer):
    class Nested(nn.Module):
        def __init__(self, method):
            super().__init__()
            self.block = ODEBlock(Field(seed=4), solver="heun", steps=2, gradient=method)

        def forward(self, t, z):
            return torch.tanh(self.block(z)) - z

    got = gradients(ODEBlock(Nested(inner), solver="rk4", steps=5, gradient=outer), inputs())
    close(got, gradients(ODEBlock(Nested("direct"), solver="rk4", steps=5), inputs()))


@pytest.mark.parametrize("method", DISCRETE, ids=str)
def test_a_compiled_field(method):
    expected = gradients(ODEBlock(Field(), solver="rk4", steps=4), inputs())
    torch._dynamo.reset()
    compiled = torch.compile(Field(), backend="aot_eager", fullgraph=True)
    close(gradients(ODEBlock(compiled, solver="rk4", steps=4, gradient=method), inputs()), expected)


def test_a_compiled_field_under_a_budget():
    """The measuring runs the field as it was written; the solve does not."""
    expected = gradients(ODEBlock(Field(), solver="rk4", steps=4), inputs())
    torch._dynamo.reset()
    compiled = torch.compile(Field(), backend="aot_eager", fullgraph=True)
    method = {"name": "revolve", "memory": "1MiB"}
    close(gradients(ODEBlock(compiled, solver="rk4", steps=4, gradient=method), inputs()), expected)


@contextmanager
def one_process(tmp_path):
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("method", DISCRETE, ids=str)
def test_a_distributed_network_of_one_process(method, tmp_path):
    torch.manual_seed(0)
    plain = network(method)
    plain(inputs()).sum().backward()
    with one_process(tmp_path):
        distributed = DistributedDataParallel(copy.deepcopy(plain))
        distributed.zero_grad()
        for _ in range(2):  # the second time, parameters are in buckets
            distributed.zero_grad()
            distributed(inputs()).sum().backward()
        close([p.grad for p in distributed.parameters()], [p.grad for p in plain.parameters()])


def _half_of_the_batch(rank, folder):
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/store", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    torch.manual_seed(0)
    distributed = DistributedDataParallel(network({"name": "revolve", "slots": 2}))
    distributed(inputs()[2 * rank : 2 * rank + 2]).sum().backward()
    torch.save([p.grad for p in distributed.parameters()], f"{folder}/{rank}.pt")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    # A thread of gloo's that is not joined yet aborts an interpreter that ends by itself; what is tested lies in the file.
    os._exit(0)


@pytest.mark.slow
def test_a_distributed_network_of_two_processes(tmp_path):
    """Each sees half of the batch; both get the mean of the two gradients."""
    torch.multiprocessing.spawn(_half_of_the_batch, args=(str(tmp_path),), nprocs=2)
    torch.manual_seed(0)
    expected = network("direct")
    halves = []
    for rank in range(2):
        expected.zero_grad()
        expected(inputs()[2 * rank : 2 * rank + 2]).sum().backward()
        halves.append([p.grad.clone() for p in expected.parameters()])
    for rank in range(2):
        close(torch.load(tmp_path / f"{rank}.pt"), [(a + b) / 2 for a, b in zip(*halves, strict=True)], 1e-11)


@pytest.mark.parametrize("method", DISCRETE, ids=str)
@pytest.mark.parametrize("others", DISCRETE[:2], ids=str)
def test_mixed_precision(method, others):
    """Two blocks share a field, so that a weight converted for the one must not be without a graph in the other."""

    def run(first, second):
        field = Field(dtype=torch.float32)
        torch.manual_seed(3)
        net = nn.Sequential(
            nn.Linear(6, 6),
            ODEBlock(field, solver="rk4", steps=3, gradient=first),
            ODEBlock(field, solver="euler", steps=3, gradient=second),
            nn.Linear(6, 6),
        )
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = net(inputs(torch.float32))
            value = out.float().square().sum()
            value.backward()
        assert net[1].field.layers[0].weight.grad is not None
        return [p.grad for p in net.parameters()]

    got, expected = run(method, others), run("direct", "direct")
    close(got, expected, 0.02)


def test_states_of_half_precision_are_whole_under_autocast():
    seen = []

    class Watched(Field):
        def forward(self, t, z):
            seen.append((t.dtype, z.dtype))
            return super().forward(t, z)

    block = ODEBlock(Watched(dtype=torch.float32), solver="euler", steps=2, gradient="anode")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = block(inputs(torch.bfloat16))
    out.sum().backward()
    assert out.dtype == torch.float32 and set(seen) == {(torch.float32, torch.float32)}


def test_blocks_are_copied_and_stored():
    for method in DISCRETE:
        block = ODEBlock(Field(), solver="rk4", steps=2, gradient=method)
        expected = block(inputs())
        assert torch.equal(copy.deepcopy(block)(inputs()), expected)
        assert torch.equal(pickle.loads(pickle.dumps(block))(inputs()), expected)


def test_what_cannot_be_is_refused_when_the_block_is_made():
    for arguments, error, message in (
        ({"solver": "rk5", "steps": 1}, OdebenchError, "rk4"),
        ({"solver": "rk4"}, GridError, "steps"),
        ({"steps": 3, "rtol": 1e-3}, GridError, "one of"),
        ({"steps": 3, "span": (1.0, 1.0)}, GridError, "two different times"),
        ({"steps": 3, "span": (0.0, 1.0, 2.0)}, GridError, "two different times"),
        ({"steps": 3, "gradient": "anodes"}, OdebenchError, "anode"),
    ):
        with pytest.raises(error, match=message):
            ODEBlock(Field(), **arguments)
    with pytest.raises(IncompatibleError, match="must be a module"):
        ODEBlock(lambda t, z: -z, steps=1)


def peak(method, blocks, steps, rows=32):
    """Peak of a forward and backward pass beyond inputs, parameters and their gradients."""
    fields = [Field(seed=n) for n in range(blocks)]
    net = nn.Sequential(*(ODEBlock(f, solver="euler", steps=steps, gradient=method) for f in fields))
    z = inputs(rows=rows)
    gc.collect()
    with StorageTracker([z, *net.parameters()]) as tracker:
        net(z).sum().backward()
    return tracker.peak_bytes


STATE = 32 * 6 * 8


def grid(steps):
    """Bytes of the record of the steps, which a solution brings along."""
    return 16 * steps


def growth(values):
    return {after - before for before, after in itertools.pairwise(values)}


def test_a_network_of_anode_blocks_keeps_one_input_a_block_and_the_graph_of_one_block():
    for steps in (8, 16):
        assert growth([peak("anode", blocks, steps) for blocks in (2, 3, 4)]) == {STATE + grid(steps)}
    for blocks in (2, 4):
        (graph,) = {g - grid(4) * blocks for g in growth([peak("anode", blocks, steps) for steps in (8, 12, 16)])}
        assert graph >= 4 * STATE, "four steps' graphs"
    one, two = ({g - grid(4) * b for g in growth([peak("anode", b, n) for n in (8, 12)])} for b in (2, 4))
    assert one == two, "the graph of one block, however many there are"


def test_slots_inside_the_blocks_take_the_number_of_steps_out():
    """The slots of one block, and the inputs of all."""
    few, more = {"name": "anode", "slots": 3}, {"name": "anode", "slots": 5}
    assert growth([peak(few, blocks, 16) for blocks in (2, 3, 4)]) == {STATE + grid(16)}
    assert peak(more, 3, 16) - peak(few, 3, 16) == 2 * STATE
    assert peak(few, 3, 40) - peak(few, 3, 20) == 3 * grid(20)


def test_a_network_that_records_every_step_keeps_all_graphs():
    per_step = [(peak("direct", blocks, 16) - peak("direct", blocks, 8)) / (8 * blocks) for blocks in (2, 3, 4)]
    assert per_step[0] > STATE and max(per_step) - min(per_step) < 0.02 * per_step[0]
