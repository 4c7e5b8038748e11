"""Files that are either the old or the new version, also after a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def replace_durably(new: Path, file: Path) -> None:
    """Put a finished file, written on the same file system, in the place of another."""
    _sync(new)
    os.replace(new, file)
    _sync(file.parent)


def write_durably(file: Path, text: str) -> None:
    """Write a text file, creating its folder; a reader sees the old text or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.new")
    new.write_text(text, encoding="utf-8")
    replace_durably(new, file)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
