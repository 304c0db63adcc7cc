"""Is a trained model a flow of its differential equation, or does it work with the solver it was trained with only?

After K. Ott, P. Katiyar, P. Hennig, M. Tiemann, "ResNet After All? Neural ODEs and Their Numerical Solution", ICLR 2021,
arXiv:2007.15386: a model is a flow where its score does not change under solvers of equal or smaller numerical error.
"""

from odebench.validation.check import validate as validate
from odebench.validation.critical import CriticalStep as CriticalStep
from odebench.validation.critical import critical_step as critical_step
from odebench.validation.interception import routed as routed
from odebench.validation.intervals import paired_change as paired_change
from odebench.validation.protocol import OdeModel as OdeModel
from odebench.validation.result import Tried as Tried
from odebench.validation.result import Validation as Validation
from odebench.validation.result import Verdict as Verdict
