"""What a new plugin is called: as a distribution, as an entry point, and as a package."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from dataclasses import dataclass
from importlib import metadata

from odebench.errors import PluginError

# Packaging's rule for the name of a distribution, which `pip` and every index follow.
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_OWN = "odebench"


@dataclass(frozen=True, kw_only=True)
class Naming:
    """The names of one plugin.

    Attributes:
        distribution: what `pip` installs: `odebench-spirals`.
        prefix: the entry point, and what stands before the `/` of all that it registers: `spirals`.
        package: what Python imports: `odebench_spirals`.
    """

    distribution: str
    prefix: str
    package: str


def naming_of(name: str) -> Naming:
    """The names that follow from the one that an author gives.

    The prefix is the name without a leading `odebench-`, so that rows of a report are not longer than they need to be.

    Raises:
        PluginError: it cannot be a distribution or a package, or something installed has it.
    """
    if not _DISTRIBUTION.fullmatch(name):
        raise PluginError(
            f"{name!r} cannot be the name of a distribution: it takes letters, digits, '-', '_' and '.', and begins and ends with "
            "a letter or a digit. Write something like 'odebench-spirals'."
        )
    distribution = re.sub(r"[-_.]+", "-", name).lower()
    package, prefix = distribution.replace("-", "_"), distribution.removeprefix(f"{_OWN}-")
    if not package.isidentifier() or keyword.iskeyword(package):
        raise PluginError(
            f"{name!r} would be the package {package!r}, which Python cannot import. Begin with a letter, such as "
            f"'odebench-{prefix}'."
        )
    _refuse_taken(name, distribution, prefix, package)
    return Naming(distribution=distribution, prefix=prefix, package=package)


def _refuse_taken(name: str, distribution: str, prefix: str, package: str) -> None:
    for point in metadata.entry_points(group=_OWN):
        if point.name == prefix:
            owner = f"of distribution {point.dist.name!r} " if point.dist else ""
            raise PluginError(
                f"{name!r} would register its methods as '{prefix}/…', but a plugin {prefix!r} {owner}is installed. Take another "
                "name, or uninstall that one."
            )
    if distribution == _OWN or package in sys.stdlib_module_names or importlib.util.find_spec(package) is not None:
        raise PluginError(
            f"{name!r} would be the package {package!r}, and there is one of this name already. Take another name, such as "
            f"'odebench-{prefix}-methods'."
        )
