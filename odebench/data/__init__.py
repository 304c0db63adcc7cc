"""Data to learn from: sets that are computed, one that ships with a dependency, and ones in a folder that the user gives.

A toolkit like `numerics`, usable in a notebook: it knows no plugins. One set a file; `load` knows their names. What is
computed or drawn comes from the seed alone. Nothing is downloaded, and nothing is unpickled: a set whose files are not
there says what to download and where to put it.
"""

from odebench.data.dataset import DataError as DataError
from odebench.data.dataset import Dataset as Dataset
from odebench.data.load import check as check
from odebench.data.load import load as load
from odebench.data.load import names as names
