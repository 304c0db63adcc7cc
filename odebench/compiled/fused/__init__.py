"""Fields that are element-wise over trajectories, as machine code: each trajectory stays in registers through all of its steps.

The way of a field: `rows` reads its graph with `reading` and `operations` as `expressions`, numbers that are computed from
numbers; `derivative` makes their vector-Jacobian product; `source` prints both, and a Runge-Kutta step, as C++ around the loops in
`kernels`, and `build` compiles it; `programs` are called as those of the loops are.
"""
