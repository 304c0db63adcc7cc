"""What an interpreter is, told by itself as a line of JSON: a script that any Python from 3.6 on can run, with or without odebench.

It imports no plugin and nothing heavy, so that it may be asked each time: what it tells is what makes kept answers stale.
"""

import hashlib
import json
import os
import platform
import re
import sys

#: Begins the line of JSON: whatever else is printed when an interpreter starts is no answer.
MARK = "odebench-probe:"
#: Files of a distribution that is edited in place and of a plugin; more than this are not looked at.
_MOST_FILES = 5000
_CODE = (".py", ".so", ".pyd")


def hashes_of(folder):
    """Hash of each Python file below a package's folder, by its path in it."""
    found = {}
    for path in _files(folder, (".py",)):
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()[:16]
        found[os.path.relpath(path, folder).replace(os.sep, "/")] = digest
    return found


def states_of(place):
    """Path, size and time of change of a file, or of all code below a folder."""
    if not os.path.isdir(place):
        return [_state(place)] if os.path.exists(place) else []
    return [_state(path) for path in _files(place, _CODE)[:_MOST_FILES]]


def normal(name):
    """The one spelling of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def tell(known_folder):
    """All that there is to say; `known_folder` is an odebench whose hashes the asker knows already."""
    said = {
        "executable": sys.executable,
        "prefix": sys.prefix,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "version": list(sys.version_info[:3]),
        "odebench": None,
    }
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever is asked may be older than odebench allows
        return said
    said["odebench"] = _odebench(known_folder)
    said.update(_distributions())
    return said


def _odebench(known_folder):
    """Version, folder and files of the odebench that is imported there; None where there is none."""
    try:
        import odebench
    except ImportError:
        return None
    folder = os.path.dirname(os.path.realpath(odebench.__file__))
    same = folder == known_folder
    return {"version": odebench.__version__, "folder": folder, "hashes": None if same else hashes_of(folder)}


def _distributions():
    """Versions of all distributions, the plugins among them, and the state of all that is edited in place."""
    import importlib.util
    from importlib import metadata

    versions, states, plugins, required = {}, [], [], {}
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name is None or normal(name) in versions:  # The first on the path is the one that is imported.
            continue
        versions[normal(name)] = distribution.version
        required[normal(name)] = [line for line in distribution.requires or () if "extra ==" not in line]
        info = getattr(distribution, "_path", None)
        states += states_of(os.path.join(str(info), "RECORD")) if info is not None else []
        states += _edited(distribution) if normal(name) != "odebench" else []  # The asker knows the state of that.
        for point in distribution.entry_points:
            if point.group == "odebench":
                plugins.append({"name": point.name, "distribution": name, "module": point.value.partition(":")[0]})
    for plugin in plugins:
        spec = importlib.util.find_spec(plugin["module"].partition(".")[0])
        for place in (spec.submodule_search_locations or [spec.origin]) if spec is not None else ():
            states += states_of(str(place))
        plugin["version"] = versions[normal(plugin["distribution"])]
        plugin["requires"] = _names(required[normal(plugin["distribution"])], versions)
    state = hashlib.sha256(json.dumps(sorted(states)).encode()).hexdigest()
    return {"versions": versions, "plugins": sorted(plugins, key=lambda one: one["name"]), "state": state}


def _edited(distribution):
    """State of the code of a distribution that was installed as it lies in its folder."""
    try:
        source = json.loads(distribution.read_text("direct_url.json") or "{}")
    except ValueError:
        return []
    url = source.get("url", "")
    if not source.get("dir_info", {}).get("editable") or not url.startswith("file://"):
        return []
    from urllib.parse import unquote

    folder = unquote(url[len("file://") :])
    return [state for place in _importable(folder) for state in states_of(place)]


def _importable(folder):
    """Packages and modules that lie in a project's folder, or in `src` below it; the whole folder where there are none."""
    found = []
    for place in (folder, os.path.join(folder, "src")):
        for name in os.listdir(place) if os.path.isdir(place) else ():
            path = os.path.join(place, name)
            if name.endswith(".py") or os.path.isfile(os.path.join(path, "__init__.py")):
                found.append(path)
    return found or [folder]


def _names(lines, versions):
    """Of a distribution's requirements, those that are there; odebench and torch are told anyway."""
    names = [re.match(r"[A-Za-z0-9._-]+", line).group() for line in lines]
    return [name for name in names if normal(name) in versions and normal(name) not in ("odebench", "torch")]


def _files(folder, endings):
    found = []
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in ("__pycache__", "node_modules"))
        if "pyvenv.cfg" in files:  # Somebody's environment, and no part of the code.
            folders[:], files = [], []
        found += [os.path.join(place, name) for name in sorted(files) if name.endswith(endings)]
    return found


def _state(path):
    status = os.stat(path)
    return [path, status.st_size, status.st_mtime_ns]


if __name__ == "__main__":
    with open(1, "w", encoding="ascii", closefd=False) as output:
        output.write(MARK + json.dumps(tell(sys.argv[1])) + "\n")
