"""The parts of a record, as a child measures them."""

from __future__ import annotations

import pytest
import torch

from odebench.run import quality
from odebench.run.bench import grid_request
from odebench.run.fingerprint import fingerprint_of, mismatch
from odebench.run.timing import _Clock, _validity


def test_quality_counts_forward_and_backward_apart(do):
    values = do("rk4", gradient="step-checkpoint", steps=8).result["values"]
    assert (values["nfe_forward"], values["nfe_backward"], values["vjps"]) == (32, 32, 32)
    assert (values["steps_accepted"], values["steps_rejected"], values["nfe_method"]) == (8, 0, "counted")


def test_without_a_gradient_there_is_no_count_of_one(do):
    values = do("honest").result["values"]
    assert "nfe_backward" not in values and "vjps" not in values


def test_what_diverges_keeps_its_counts(do):
    result = do("gives-up").result
    assert (result["outcome"], result["values"]["nfe_forward"]) == ("diverged", 3)
    assert result["reason"] == "The step size fell below its minimum at t = 0."


def test_what_a_plugin_cannot_do_is_unsupported_in_its_words(do):
    result = do("no-steps").result
    assert (result["outcome"], result["reason"]) == ("unsupported", "no-steps never takes a step.")


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("gradient", [None, "plain"])
def test_timing_finds_the_answers_of_quality_again(do, dtype, gradient):
    prints = do("honest", gradient=gradient, dtype=dtype).result["fingerprints"]
    result = do(
        "honest", "timing", gradient=gradient, dtype=dtype, request={"repeats": 3, "fingerprints": prints}
    ).result
    assert (result["outcome"], result["reason"]) == ("ok", None)
    kinds = {"time_forward_s", "time_total_s"} | ({"time_backward_s"} if gradient else set())
    assert {name: len(values) for name, values in result["samples"].items()} == dict.fromkeys(kinds, 3)
    assert result["time_first_s"] > 0


def test_timing_refuses_another_answer(do):
    prints = do("honest").result["fingerprints"]
    result = do("honest", "timing", steps=10, request={"repeats": 1, "fingerprints": prints}).result
    assert result["outcome"] == "error"
    assert "another answer than before, from the same initial state (number 0)" in result["reason"]


def test_a_field_that_draws_random_numbers_may(do):
    assert do("honest", random=True).result["outcome"] == "ok"


def test_parts_are_the_same_each_time(do):
    once, again = (do("rk4", gradient="plain").result for _ in range(2))
    for name in ("values", "fingerprints"):
        assert once[name] == again[name]
    assert (
        do("rk4", "memory", gradient="plain").result["values"] == do("rk4", "memory", gradient="plain").result["values"]
    )


def test_other_initial_states_are_seeded_and_differ(bench_of):
    bench = bench_of("honest")
    assert torch.equal(bench.start(0), bench.problem.y0)
    assert torch.equal(bench.start(3), bench.start(3))
    assert not torch.equal(bench.start(1), bench.start(3))
    change = (bench.start(2) / bench.start(0) - 1).abs()
    assert change.min() > 4e-4 and change.max() < 1.1e-3


def test_every_checked_state_moves_the_answer_enough_to_be_told(bench_of):
    """Even of a large batch, whose means hardly move under noise of random signs."""
    for dtype in ("float64", "float32", "bfloat16"):
        bench = bench_of("honest", dtype=dtype, batch=4096)
        prints = [fingerprint_of({"ys": bench.start(index)}) for index in (0, *quality.CHECKED)]
        eps = torch.finfo(getattr(torch, dtype)).eps
        for index in range(1, len(prints)):
            assert mismatch(prints[0], prints[index], prints[0], eps) is not None
            assert mismatch(prints[index], prints[index], prints[0], eps) is None


def test_a_fingerprint_tells_order_sign_and_scale():
    y = torch.randn(64, generator=torch.Generator().manual_seed(0))
    print_of = lambda x: fingerprint_of({"ys": x})  # noqa: E731
    for other in (y.flip(0), -y, 1.001 * y, y.roll(1)):
        assert mismatch(print_of(other), print_of(y), print_of(y), 1e-7) is not None
    assert print_of(torch.full((3,), float("nan"))) != print_of(y[:3])
    assert mismatch(print_of(torch.full((3,), float("nan"))), print_of(y[:3]), print_of(y[:3]), 1e-7) is not None


CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("clock", "threads", "device", "reason"),
    [
        (_Clock(wall=100, cpu=99), 1, CPU, None),
        (_Clock(wall=100, cpu=190, elsewhere=95), 2, CPU, None),
        (_Clock(wall=100, cpu=150), 1, CPU, "It used 1.50 seconds of CPU a second, with 1 thread given."),
        (_Clock(wall=100, cpu=80, elsewhere=60), 1, CPU, "It spent 75% of its CPU time in other threads"),
        (_Clock(wall=100, cpu=80, elsewhere=60), 1, torch.device("cuda"), None),
        (_Clock(wall=100, cpu=70, waited=30), 1, CPU, "The machine was busy: it waited for a core 30% of the time."),
    ],
)
def test_a_timing_is_valid_only_alone_and_within_its_threads(clock, threads, device, reason):
    found = _validity(clock, threads, device)
    assert found["valid"] is (reason is None)
    assert (found["reason_invalid"] or "").startswith(reason or "")


def test_a_cells_grid_in_the_contracts_form():
    assert grid_request({"steps": 3}).steps == 3
    assert grid_request({"step_size": 0.5}).step_size == 0.5
    request = grid_request({"rtol": 1e-3, "atol": 1e-6, "batch": "per-sample"})
    assert (request.rtol, request.atol, request.batch) == (1e-3, 1e-6, "per-sample")
