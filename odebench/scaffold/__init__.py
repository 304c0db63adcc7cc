"""The first version of a plugin: a distribution that installs, passes its tests and runs its suite as it is written.

The files are templates in `templates/`, named as what they become. What they hold is what an author would keep: to make it
one's own is to replace a tableau, a backward or a field.
"""

from odebench.scaffold.naming import Naming as Naming
from odebench.scaffold.naming import naming_of as naming_of
from odebench.scaffold.writing import KINDS as KINDS
from odebench.scaffold.writing import write_plugin as write_plugin
