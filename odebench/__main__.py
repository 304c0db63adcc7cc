"""`python -m odebench`, for where the console script is not on the path."""

from odebench.cli import main

main(prog_name="odebench")
