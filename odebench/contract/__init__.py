"""What a plugin promises. Nothing here knows who measures it: this folder imports `odebench.errors` and torch only."""

from odebench.contract.field import Field as Field
from odebench.contract.field import State as State
from odebench.contract.field import modules_of as modules_of
from odebench.contract.field import parameters_of as parameters_of
from odebench.contract.gradient import GradientMethod as GradientMethod
from odebench.contract.grid import Grid as Grid
from odebench.contract.grid import GridRequest as GridRequest
from odebench.contract.grid import StepSize as StepSize
from odebench.contract.grid import Tolerance as Tolerance
from odebench.contract.known import Known as Known
from odebench.contract.known import Reference as Reference
from odebench.contract.known import Unknown as Unknown
from odebench.contract.known import relative_error as relative_error
from odebench.contract.known import relative_l2 as relative_l2
from odebench.contract.known import value_or_reason as value_or_reason
from odebench.contract.model import Model as Model
from odebench.contract.model import Problem as Problem
from odebench.contract.model import mean_square_of_final_state as mean_square_of_final_state
from odebench.contract.solution import Solution as Solution
from odebench.contract.solution import Stats as Stats
from odebench.contract.solver import OpaqueSolver as OpaqueSolver
from odebench.contract.solver import Solver as Solver
from odebench.contract.solver import Step as Step
from odebench.contract.task import Answer as Answer
from odebench.contract.task import Setting as Setting
from odebench.contract.task import Task as Task
