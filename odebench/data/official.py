"""Files that the user has downloaded: where they are looked for, and whether they are the published ones."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from odebench.data.dataset import DataError

FOLDER_VARIABLE = "ODEBENCH_DATA"


@dataclass(frozen=True, kw_only=True)
class Publication:
    """A published set of files.

    Attributes:
        name: as `load` knows the data.
        files: what to download, for a reader.
        url: where that is.
        put: where they belong, for a reader.
        folders: folders below the user's that are looked into, "." for itself.
    """

    name: str
    files: str
    url: str
    put: str
    folders: tuple[str, ...]

    @property
    def advice(self) -> str:
        """What to download, and where to put it."""
        return f"Download {self.files} from {self.url} and put {self.put}."

    def places(self, data_dir: Path | str | None) -> tuple[Path, ...]:
        """The folders to look into.

        Args:
            data_dir: the user's folder; None takes `$ODEBENCH_DATA`.

        Raises:
            DataError: no folder was given, or it is not there.
        """
        chosen = data_dir if data_dir is not None else os.environ.get(FOLDER_VARIABLE)
        if not chosen:
            raise DataError(
                f"{self.name}: no folder with its files was given: set {FOLDER_VARIABLE}, or pass `data_dir` (`odebench run "
                f"--data-dir`). {self.advice}"
            )
        root = Path(chosen).expanduser()
        if not root.is_dir():
            raise DataError(f"{self.name}: there is no folder {root}. {self.advice}")
        return tuple(root / folder for folder in self.folders if (root / folder).is_dir())

    def find(self, names: Sequence[str], data_dir: Path | str | None) -> Path:
        """The first of these files that is in one of the folders.

        Raises:
            DataError: none is.
        """
        for place in self.places(data_dir):
            for name in names:
                if (place / name).is_file():
                    return place / name
        chosen = data_dir if data_dir is not None else os.environ.get(FOLDER_VARIABLE)
        looked = ", ".join(str(Path(folder)) for folder in self.folders)
        raise DataError(
            f"{self.name}: found no {' or '.join(names)} in {Path(chosen).expanduser()} (looked into: {looked}). {self.advice}"
        )

    def check(self, path: Path | str, found: str, expected: str) -> None:
        """Compare an MD5 with the published one.

        Raises:
            DataError: they differ.
        """
        if found != expected:
            raise DataError(
                f"{self.name}: {path} is not the published file: its MD5 is {found}, that of the published one {expected}. The "
                f"download may have been cut off, or it is another file. {self.advice} To use it as it is, say so in "
                f'the suite: data = {{ name = "{self.name}", verify = false }}.'
            )


def md5(content: bytes | Path) -> str:
    """MD5 in hexadecimal digits, of bytes or of a file: the sum that these files were published with, against accidents."""
    with content.open("rb") if isinstance(content, Path) else io.BytesIO(content) as stream:
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
