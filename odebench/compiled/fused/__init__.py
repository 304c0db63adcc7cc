"""Fields that are element-wise over trajectories, as machine code: each trajectory stays in registers through all of its steps.

The way of a field: `expressions` (numbers that are computed from numbers) ← `rows` (a graph of tensor operations, read as
such) → `derivative` (the same for its vector-Jacobian product) → `source` (as C++) → `build` → `replay`, `adaptive`, `reverse`
(programs that are called as those of the loops are).
"""
