"""The names of the data, and what each can be asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from odebench.data.cifar import cifar10, cifar100
from odebench.data.dataset import DataError, Dataset
from odebench.data.digits import digits
from odebench.data.mnist import fashion_mnist, mnist
from odebench.data.points import saddle, xor
from odebench.data.spheres import spheres
from odebench.data.three_minima import three_minima
from odebench.errors import nearest

_MAKERS: dict[str, Callable[..., Dataset]] = {
    "spheres": spheres,
    "three-minima": three_minima,
    "xor": xor,
    "saddle": saddle,
    "digits": digits,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "mnist": mnist,
    "fashion-mnist": fashion_mnist,
}


def names() -> list[str]:
    """All names that `load` knows."""
    return list(_MAKERS)


def check(data: str | Mapping[str, Any]) -> None:
    """Whether `data` is a name, or a table with a name and parameters, that `load` understands; no file is looked for.

    Raises:
        DataError: it is not, and why.
    """
    _resolved(data)


def load(data: str | Mapping[str, Any], seed: int, *, data_dir: Path | str | None = None) -> Dataset:
    """The data of a name, such as "spheres", or of a table such as {"name": "spheres", "dimension": 3}.

    Args:
        data: the name, or the table.
        seed: of data that are drawn; it means nothing for data that are read.
        data_dir: the folder of downloaded files; None takes `$ODEBENCH_DATA`. Files are read when a part is asked for.

    Raises:
        DataError: there are no such data, or they know no such parameter, or a file is not as it should be.
    """
    make, parameters = _resolved(data)
    from_files = "data_dir" in inspect.signature(make).parameters
    return make(seed, data_dir, **parameters) if from_files else make(seed, **parameters)


def _resolved(data: str | Mapping[str, Any]) -> tuple[Callable[..., Dataset], dict[str, Any]]:
    table = {"name": data} if isinstance(data, str) else data
    if not isinstance(table, Mapping) or not isinstance(table.get("name"), str):
        raise DataError(
            f'`data` is {data!r}; it must be a name, or a table such as {{ name = "spheres", dimension = 3 }}.'
        )
    name = table["name"]
    make = _MAKERS.get(name)
    if make is None:
        hint = f" Did you mean {near!r}?" if (near := nearest(name, _MAKERS)) else ""
        raise DataError(f"There are no data {name!r}; there are {', '.join(_MAKERS)}.{hint}")
    offered = {key: p.default for key, p in inspect.signature(make).parameters.items() if p.kind is p.KEYWORD_ONLY}
    parameters = {key: value for key, value in table.items() if key != "name"}
    for key, value in parameters.items():
        if key not in offered:
            hint = f" Did you mean {near!r}?" if (near := nearest(key, offered)) else ""
            raise DataError(
                f"Data {name!r} have no parameter {key!r}; they have: {', '.join(offered) or 'none'}.{hint}"
            )
        if type(value) is not type(offered[key]):
            raise DataError(
                f"Parameter {key!r} of data {name!r} is {value!r}; it must be of type {type(offered[key]).__name__}, such as "
                f"{offered[key]!r}."
            )
    return make, parameters
