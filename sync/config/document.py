"""A YAML file as text, with the line of everything.

Every scalar stays the text that was written. YAML's own typing would turn an unquoted ``no``, ``02`` or ``1e3`` in a table of
codes into something else than the engineer sees; what a word means is decided by the setting that it is given to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any

import yaml

from sync.config.problems import ConfigProblem, Path, dotted

NULL = "tag:yaml.org,2002:null"


@dataclass(slots=True)
class Document:
    """``data`` is nested dicts and lists of text (``None`` for an empty value); ``lines`` says where each path is written.

    Relative paths of files begin at ``folder``. ``ended``: the text is not a half of one.
    """

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: list[ConfigProblem] = field(default_factory=list)
    folder: FilePath = FilePath()
    ended: bool = True

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest parent that is written in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def mistake(self, path: Path, message: str) -> None:
        """Reports an error at a path."""
        self.mistakes.append(ConfigProblem(self.line(path), dotted(path), message))

    def warn(self, path: Path, message: str) -> None:
        """Reports a warning, which stops nothing."""
        self.mistakes.append(ConfigProblem(self.line(path), dotted(path), message, warning=True))


def read(text: str) -> Document:
    """Reads one YAML document. A syntax error becomes an error with its line."""
    document = Document(ended=text.endswith("\n"))
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        document.mistakes.append(ConfigProblem(line, "", f"invalid YAML: {error.problem or error.context}; check indentation and quotes"))
        return document
    except yaml.YAMLError as error:
        document.mistakes.append(ConfigProblem(0, "", f"invalid YAML: {getattr(error, 'reason', 'unreadable')}; save the file as UTF-8"))
        return document
    document.ended = document.ended or bool(getattr(node, "flow_style", False))  # JSON has no valid half
    document.data = _value(document, (), node) if node is not None else {}
    return document


def _value(document: Document, path: Path, node: yaml.Node) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(document, path, node)
    if isinstance(node, yaml.SequenceNode):
        return [_value(document, (*path, index), child) for index, child in enumerate(node.value)]
    return None if node.tag == NULL and node.value in ("", "~") else str(node.value)


def _mapping(document: Document, path: Path, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, child in node.value:
        key = str(key_node.value)
        here = (*path, key)
        line = key_node.start_mark.line + 1
        if key in found:
            document.mistakes.append(
                ConfigProblem(line, dotted(here), f"duplicate setting (first on line {document.lines[here]}); keep one")
            )
            continue
        document.lines[here] = line
        found[key] = _value(document, here, child)
    return found
