"""Suite to plan: which questions a run asks, in which order, and which of them cannot be asked and why.

`suite.read_suite` reads and checks a TOML file, `expand.expand` multiplies its axes out against a registry of plugins, `cell.Cell`
is one question, `estimate.estimate` says how long the answers take. A plan is data: nothing here prints, measures or writes.

Nothing is imported here on purpose: the measured process needs `odebench.plan.cell`, which is the standard library alone, and must
not pay for the suite's validation.
"""
