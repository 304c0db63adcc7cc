"""When to keep which state, so that the steps of a solve can be gone back through with few states in memory.

A schedule is a sequence of small actions and knows no tensor: it can be replayed against a model of storage.

    forward    for each step but the last: `schedule.leave(step)`, then the step; at last the final step, whose start stays at hand
    backward   `schedule.backward(steps)`

The state at hand is no slot: it is there in any case, as it is the one that is being computed with.
"""

from odebench.numerics.checkpoint_schedules.actions import Action as Action
from odebench.numerics.checkpoint_schedules.actions import Advance as Advance
from odebench.numerics.checkpoint_schedules.actions import Drop as Drop
from odebench.numerics.checkpoint_schedules.actions import Load as Load
from odebench.numerics.checkpoint_schedules.actions import Reverse as Reverse
from odebench.numerics.checkpoint_schedules.actions import Schedule as Schedule
from odebench.numerics.checkpoint_schedules.actions import Store as Store
from odebench.numerics.checkpoint_schedules.binomial import Binomial as Binomial
from odebench.numerics.checkpoint_schedules.binomial import untaped_steps as untaped_steps
from odebench.numerics.checkpoint_schedules.online import Online as Online
from odebench.numerics.checkpoint_schedules.square_root import SquareRoot as SquareRoot
