"""The data format and its store: what a cell gave, on disk, readable for ever.

`ResultFolder` reads, needs no lock and never writes; `ResultWriter` is the only one that writes, and holds the folder's lock while
it does. So a report can be made while a run goes on, and half of a record is never seen: a file is replaced as a whole or not at all.
Identity is content: the cell's hash names the question, the machine's where it was asked, the freshness what could change the answer.
No time of day enters any of them.

Neither torch nor a plugin is imported here: results are read on machines that have none.
"""

from odebench.records.folder import RecordFault as RecordFault
from odebench.records.folder import ResultFolder as ResultFolder
from odebench.records.folder import Run as Run
from odebench.records.freshness import freshness as freshness
from odebench.records.freshness import source_hash as source_hash
from odebench.records.machine import Machine as Machine
from odebench.records.machine import describe_machine as describe_machine
from odebench.records.record import Part as Part
from odebench.records.record import Parts as Parts
from odebench.records.record import Record as Record
from odebench.records.record import Round as Round
from odebench.records.record import Timing as Timing
from odebench.records.resume import MissingPart as MissingPart
from odebench.records.resume import missing_parts as missing_parts
from odebench.records.series import read_series as read_series
from odebench.records.writer import ResultWriter as ResultWriter
