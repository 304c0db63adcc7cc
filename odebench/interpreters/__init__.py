"""Plugins that live in another interpreter: libraries whose requirements contradict each other share one suite.

Nothing of such a plugin is ever imported here. `interpreter.look_at` finds out what an interpreter is by running `probe`, a script
that any Python can read; `asking` has a child there say what its plugins are and what they refuse, which `answers` keeps on disk as
long as nothing there changes; `foreign` gives the planner stand-ins that answer as the plugins would. Measuring needs none of this:
its supervisor is started with that interpreter, and only JSON crosses.
"""
