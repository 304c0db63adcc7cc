"""Records become tables, figures and a page.

`columns` describes every column once; `frame` makes the table; `equal_error`, `gradient_summary` and `statistics` draw conclusions;
`learners` and `critical_step` do so for trainings; `claims` judges what a suite claims;
`figures` turn rows into charts, which are data, and `draw` draws them; `tables`, `headline` and `trust` put the conclusions into words;
`page` holds it all, and `build` writes the whole. `plot` makes any other comparison.

Neither torch nor a plugin is imported: a report can be built on any laptop, and old results stay readable. Importing this package
imports nothing; take what you need from its modules.
"""
