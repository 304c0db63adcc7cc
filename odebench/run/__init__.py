"""Cell to record: each part of a cell in a fresh process, under limits, with nothing beside it that the part does not need.

Three kinds of process take part, and only JSON and `.npy` files pass between them:

* the launcher (`launch`), in the user's process: decides what runs when, and writes the records;
* a supervisor for each environment (`supervisor`): has torch and the plugins loaded, has run no torch operation, forks a child for
  each part, keeps its limits, and cleans up behind it;
* the children (`worker`): measure one part (`quality`, `memory_part`, `timing`), judge an answer (`judge`), or do a study (`study`),
  and die.

A study, such as a training, takes its time: it tells how far it is (`watch`), leaves files that others read (`artefacts`, `studies`),
and goes on where a killed run was.
"""
