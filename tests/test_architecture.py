"""The import rules of the package, its sizes and its manners: each rule is a test, and its message says why it is one.

Imports are read from syntax trees, those inside functions included. A string that is the name of one of our modules counts as an
import of it: `importlib.import_module("odebench.run")` is one.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "odebench"
PLUGIN_FOLDERS = ("solvers", "gradients", "models", "tasks", "policies")
STAGES = ("plan", "run", "records", "report")
LONGEST_MODULE = 400


@dataclass(frozen=True)
class Source:
    """One module of odebench."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def place(self) -> str:
        """The folder below `odebench`, or the module itself where it lies in none."""
        return (self.name.split(".") + ["__init__"])[1]

    def at(self, node: ast.AST, what: str) -> str:
        """What stands where, for a message."""
        return f"{self.path.relative_to(ROOT)}:{node.lineno}: {what}"


@cache
def sources() -> tuple[Source, ...]:
    """Every module of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Source(name, path, text, ast.parse(text)))
    return tuple(found)


@cache
def module_names() -> frozenset[str]:
    return frozenset(source.name for source in sources())


def imports(source: Source) -> Iterator[tuple[ast.AST, str]]:
    """Every module that a source imports, with the place."""
    package = source.name if source.path.name == "__init__.py" else source.name.rpartition(".")[0]
    quoted = docstrings(source.tree)
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
                base = f"{above}.{base}".rstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield node, inner if inner in module_names() else base
        elif is_text(node) and id(node) not in quoted and "." in node.value and node.value in module_names():
            yield node, node.value


def is_text(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def docstrings(tree: ast.Module) -> set[int]:
    """Ids of the nodes that are docstrings, those below an attribute included: texts for readers, not code."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and is_text(node.value)}


def is_under(module: str, *roots: str) -> bool:
    return any(module == root or module.startswith(root + ".") for root in roots)


def ours(*folders: str) -> tuple[str, ...]:
    return tuple(f"odebench.{folder}" for folder in folders)


def offences(places: tuple[str, ...], forbidden: tuple[str, ...]) -> list[str]:
    """Imports of what is forbidden in these places."""
    return [
        source.at(node, f"imports {module}")
        for source in sources()
        if source.place in places
        for node, module in imports(source)
        if is_under(module, *forbidden)
    ]


def refuse(found: list[str], reason: str) -> None:
    assert not found, reason + "\n" + "\n".join(found)


def loaded_after(statement: str, *suspects: str) -> list[str]:
    """Which of the suspects a fresh process has loaded after a statement."""
    code = f"import sys\n{statement}\nprint(*(name for name in {suspects!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_walk_sees_every_kind_of_import():
    """Otherwise every rule below would pass on an empty list."""
    text = (
        '"""odebench.plan"""\nimport pandas.api\nfrom odebench import errors\nfrom . import cell\n'
        'def f():\n    from odebench.plan.cell import Cell\n    load("odebench.outcome")\n'
    )
    source = Source("odebench.plan.invented", PACKAGE / "plan" / "invented.py", text, ast.parse(text))
    assert sorted(module for _, module in imports(source)) == [
        "odebench.errors", "odebench.outcome", "odebench.plan.cell", "odebench.plan.cell", "pandas.api",
    ]  # fmt: skip


def test_contract_imports_only_errors():
    allowed = (*ours("contract", "errors"), "torch", "numpy", *sys.stdlib_module_names)
    found = [
        source.at(node, f"imports {module}")
        for source in sources()
        if source.place == "contract"
        for node, module in imports(source)
        if not is_under(module, *allowed)
    ]
    refuse(
        found,
        "`contract` imports `errors`, torch, numpy and the standard library only: a promise does not know who measures it.",
    )


def test_numerics_and_data_are_toolkits():
    forbidden = (*ours(*STAGES, "plugins", "hookspecs", "cli"), "pluggy", "click", "pandas")
    refuse(
        offences(("numerics", "data"), forbidden),
        "`numerics` and `data` are toolkits, usable in a notebook: they know no suites, no measuring and no plugins.",
    )


def test_nothing_imports_a_method():
    """`plugins.BUILT_IN` names the folders that are loaded as plugins: the one place that does."""
    everyone = tuple({source.place for source in sources()} - set(PLUGIN_FOLDERS))
    found = [line for line in offences(everyone, ours(*PLUGIN_FOLDERS)) if "odebench/plugins.py" not in line]
    refuse(found, "No method is privileged: the built-in ones come through the hooks. Ask the registry for it.")


def test_plugins_names_the_built_in_folders_once():
    from odebench.plugins import BUILT_IN

    (source,) = (source for source in sources() if source.name == "odebench.plugins")
    named = [module for _, module in imports(source) if is_under(module, *ours(*PLUGIN_FOLDERS))]
    assert sorted(named) == sorted(BUILT_IN)


# Names of ours that are also other words of the program, with the other meaning.
ORDINARY_WORDS = {
    "crossings": "a column: how many there are",
    "gradient": "the kind of plugin, and the key of a suite",
    "linear": "the scale of an axis",
    "train": "the part of the data that is learnt from",
    "validate": "the function of the library, and the command",
    "fixed": "the part of the memory that does not grow, and the default where nothing adapts the step",
}


@cache
def method_names() -> frozenset[str]:
    """Names of all built-in plugins but those that are ordinary words."""
    from odebench.plugins import KINDS, build_registry

    registry = build_registry(prefixes=())
    names = {name for kind in KINDS for name in registry.names(kind)}
    assert {"euler", "rk4"} <= names
    return frozenset(names - ORDINARY_WORDS.keys())


def names_in(text: str) -> set[str]:
    """Methods that a string names: it is the name, or holds one that is no word of English (a digit or a hyphen is in it)."""
    words = set(re.findall(r"[a-z0-9]+(?:-[a-z0-9]+)*", text))
    unmistakable = {name for name in method_names() if re.search(r"[-\d]", name)}
    return ({text} & method_names()) | (words & unmistakable)


def defaults_of(tree: ast.Module) -> set[int]:
    """Ids of the strings that are defaults of arguments, or the value of a constant `DEFAULT_…`."""
    functions = [node.args for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    constants = [node for node in tree.body if isinstance(node, ast.Assign)]
    named = [c.value for c in constants if all(ast.unparse(target).startswith("DEFAULT_") for target in c.targets)]
    return {id(node) for args in functions for node in (*args.defaults, *args.kw_defaults) if node} | set(
        map(id, named)
    )


def test_nothing_names_a_method():
    """Strings in code are compared with the registered names; docstrings, and with them the help of commands, are not.

    `api.py` and `drop_in.py` may name the method that is used where the caller names none, as the default of an argument
    or as a constant `DEFAULT_…`.
    """
    found = []
    for source in sources():
        if source.place in PLUGIN_FOLDERS:
            continue
        aside = docstrings(source.tree) | (defaults_of(source.tree) if source.place in ("api", "drop_in") else set())
        for node in ast.walk(source.tree):
            if is_text(node) and id(node) not in aside:
                found += [source.at(node, f"names {name!r}") for name in sorted(names_in(node.value))]
    refuse(found, "No method is privileged: what is special about one is an attribute that it declares.")


def test_a_method_cannot_see_how_it_is_scored():
    refuse(
        offences(("solvers", "gradients", "models", "policies"), ours(*STAGES)),
        "A solver, a gradient method, a model or a step policy cannot see how it is scored: it imports no stage of a run.",
    )


def test_building_blocks_know_no_measuring():
    refuse(
        offences(("nn",), (*ours(*STAGES, "cli"), "click", "pandas")),
        "`nn` is for networks of anybody's: a block solves through the library's front door, and no run measures it.",
    )


def test_records_and_report_need_no_torch_and_no_plugin():
    forbidden = (*ours("run", "plugins", "hookspecs", "contract", "numerics", *PLUGIN_FOLDERS), "torch", "pluggy")
    refuse(
        offences(("records", "report"), forbidden),
        "Reports are built on a laptop without torch, and old results stay readable without the plugins that made them.",
    )


@pytest.mark.parametrize("place", ["records", "report"])
def test_records_and_report_load_no_torch_by_detours(place: str):
    modules = [source.name for source in sources() if source.place == place]
    assert modules
    suspects = ("torch", "pluggy", "odebench.plugins", "odebench.run")
    assert loaded_after("import " + ", ".join(modules), *suspects) == []


def test_the_worker_loads_nothing_extra():
    """Whatever the measured process loads besides costs memory and time, and may start threads."""
    suspects = ("click", "pandas", "seaborn", "matplotlib", "pydantic", "rich", "jinja2")
    assert loaded_after("import odebench.run.worker", *suspects) == []


def test_importing_odebench_loads_nothing():
    """`--help` and `odebench.load` need no torch, so the package itself must not."""
    assert loaded_after("import odebench", "torch", "numpy", "pandas", "pluggy", "click", "odebench.plugins") == []


# A process that measures or checks a plugin ends itself, whatever the code in it has done to the interpreter: it is a process, not a stage.
MAY_END_ITS_PROCESS = ("os._exit",)


def test_only_the_command_line_prints_or_exits():
    stopping = ("print", "exit", "quit", "sys.exit", "os._exit", "os.abort", "sys.stdout.write", "sys.stderr.write")
    found = []
    for source in sources():
        if source.place in ("cli", "__main__"):
            continue
        allowed = MAY_END_ITS_PROCESS if source.place in ("run", "conformance") else ()
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Call) and (called := ast.unparse(node.func)) in stopping and called not in allowed:
                found.append(source.at(node, f"calls {called}"))
            if isinstance(node, ast.Raise) and node.exc and "SystemExit" in ast.unparse(node.exc):
                found.append(source.at(node, "raises SystemExit"))
    refuse(found, "Stages return data and raise errors; only `cli` prints and chooses an exit code.")


def test_modules_are_short():
    found = [
        f"{s.path.relative_to(ROOT)}: {n} lines" for s in sources() if (n := len(s.text.splitlines())) > LONGEST_MODULE
    ]
    refuse(found, f"A module of over {LONGEST_MODULE} lines is two ideas: split it by idea.")


def test_there_are_no_drawers():
    drawers = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
    found = [str(s.path.relative_to(ROOT)) for s in sources() if drawers & set(s.name.split("."))]
    refuse(found, "A module is named after what is in it; these names say nothing.")


def public_functions(module: object) -> Iterator[tuple[str, object]]:
    """Public functions of a module, and the public methods and properties of its public classes."""
    for name, value in vars(module).items():
        if name.startswith("_") or getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield name, value
        elif inspect.isclass(value):
            yield name, value
            for inner in (key for key in vars(value) if not key.startswith("_")):
                member = inspect.getattr_static(value, inner)
                if inspect.isfunction(member) or isinstance(member, property | classmethod | staticmethod):
                    yield f"{name}.{inner}", getattr(value, inner)


@pytest.mark.parametrize("source", [s for s in sources() if s.place != "__main__"], ids=lambda source: source.name)
def test_what_is_public_is_documented(source: Source):
    """A method that carries out a documented promise inherits its text."""
    module = importlib.import_module(source.name)
    assert module.__doc__, f"{source.name} has no docstring: say in a line what the module is for."
    found = [f"{source.name}.{name}" for name, value in public_functions(module) if not inspect.getdoc(value)]
    refuse(found, "A public name says what it does, in which units, and what it raises.")


def tracked_texts() -> Iterator[tuple[Path, str]]:
    """Every text file that belongs to the project."""
    listed = subprocess.run(["git", "ls-files", "-z"], capture_output=True, text=True, cwd=ROOT, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout, so nothing says which files belong to the project")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix not in {".png", ".gz", ".parquet"}:
            yield path, path.read_text(encoding="utf-8", errors="replace")


def test_no_file_knows_the_machine_it_was_written_on():
    own = [str(ROOT)] + ([sys.prefix] if sys.prefix != sys.base_prefix else [])
    elsewhere = re.compile(r"(?<![\w./-])/(?:work|opt|farm|mnt|srv)/\w+")
    found = []
    for path, text in tracked_texts():
        for number, line in enumerate(text.splitlines(), 1):
            if elsewhere.search(line) or any(folder in line for folder in own if len(folder) > 5):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    refuse(found, "An absolute path of one machine means nothing on another.")
