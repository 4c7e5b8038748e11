"""One YAML file as values, with the line on which each key stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# The keys and positions that lead from the top of a document to a value.
KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """The content of one file. `faults` says why it has none."""

    file: Path
    content: Any = None
    lines: dict[KeyPath, int] = field(default_factory=dict)
    faults: tuple[str, ...] = ()

    def place(self, path: Sequence[str | int], problem: str) -> str:
        """One line that names file, line and key; a missing key has the line of what should hold it."""
        known = tuple(path)
        while known and known not in self.lines:
            known = known[:-1]
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        return f"{self.file} line {self.lines.get(known, 1)}: {key + ': ' if key else ''}{problem}"


def read_document(file: Path) -> Document:
    """Read a file that holds one YAML document."""
    try:
        documents = list(yaml.compose_all(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        return Document(file, faults=(f"{file}{place}: not valid YAML: {getattr(error, 'problem', error)}",))
    if len(documents) != 1:
        return Document(file, faults=(f"{file} line 1: holds {len(documents)} documents; write one SLO a file",))
    lines: dict[KeyPath, int] = {}
    faults: list[str] = []
    _collect_lines(documents[0], (), lines, faults)
    if faults:
        return Document(file, faults=tuple(f"{file} {fault}" for fault in faults))
    loader = yaml.SafeLoader("")
    try:
        return Document(file, loader.construct_document(documents[0]), lines)
    except yaml.constructor.ConstructorError as error:
        return Document(file, faults=(f"{file} line {error.problem_mark.line + 1}: {error.problem}",))
    finally:
        loader.dispose()


def _collect_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], faults: list[str]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    match node:
        case yaml.MappingNode():
            for key, value in node.value:
                line, below = key.start_mark.line + 1, (*path, key.value)
                # YAML itself lets the second one win in silence.
                if below in lines:
                    faults.append(f"line {line}: {key.value}: stands there twice, see line {lines[below]}")
                    continue
                lines[below] = line
                _collect_lines(value, below, lines, faults)
        case yaml.SequenceNode():
            for index, value in enumerate(node.value):
                _collect_lines(value, (*path, index), lines, faults)
