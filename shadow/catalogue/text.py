"""The catalogue's YAML text as JSON-like values, each of which can still say in which line it stands."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from yaml.cyaml import CBaseLoader
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from shadow.catalogue.problems import CatalogueError, Finding, Path, Problem, dotted

_VARIABLE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{[^}]*\}?")


_UNSET = "unset"
"""Stands in for a missing variable, so that the rest can be looked at too."""


class _Composer(CBaseLoader):
    """libyaml's parser with the scalars of YAML 1.2's core schema, which are those of JSON: of YAML 1.1 `on`
    and `no` would be booleans, `12:30` a number and a date no string."""


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
):
    _Composer.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


class CatalogueText:
    """A parsed YAML file.

    Attributes:
        value: mappings, lists and scalars, `${ENV}` put in.
        findings: duplicate keys, unset variables and the like; `value` is complete nevertheless.
    """

    def __init__(self, text: str, name: str, environ: Mapping[str, str]) -> None:
        """
        Raises:
            CatalogueError: when the text is no YAML mapping.
        """
        self.name = name
        self.findings: list[Finding] = []
        self.spoiled: set[Path] = set()
        """Where no value could be made: what else is wrong there is of no interest."""
        self._environ = environ
        self._open: set[int] = set()
        self._lines: dict[Path, int] = {}
        self._root = _composed(text, name)
        self.value: Any = self._read(self._root, ())

    def line(self, path: Path, *, at_key: bool = False) -> int:
        """The line where the value (or its key) at `path` stands, or the nearest thing around it that exists."""
        if path in self._lines and not at_key:
            return self._lines[path]
        node = self._root
        line = _line(node)
        for part in path:
            key, child = _child(node, part)
            if child is None:
                break
            line = _line(key) if key is not None else _line(child)
            node = child
        return line

    def raw(self, path: Path) -> str | None:
        """A scalar as it is written, variables not put in; None when `path` leads to none."""
        node: Node | None = self._root
        for part in path:
            if node is None:
                return None
            _, node = _child(node, part)
        return str(node.value) if isinstance(node, ScalarNode) else None

    def problem(self, finding: Finding) -> Problem:
        """The finding with its line."""
        expected = finding.expected
        if finding.also is not None:
            label, path = finding.also
            expected += f" ({label} {dotted(path)} in line {self.line(path, at_key=True)})"
        line = self.line(finding.path, at_key=finding.at_key)
        return Problem(self.name, line, dotted(finding.path), finding.found, expected)

    def _read(self, node: Node, path: Path) -> Any:
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        if id(node) in self._open:
            self.spoiled.add(path)
            self._found(path, "an alias of something around it", "no value that contains itself")
            return _UNSET
        self._open.add(id(node))
        value: Any
        if isinstance(node, SequenceNode):
            value = [self._read(item, (*path, index)) for index, item in enumerate(node.value)]
        else:
            value = self._mapping(node, path)
        self._open.remove(id(node))
        return value

    def _mapping(self, node: Node, path: Path) -> dict[str, Any]:
        value: dict[str, Any] = {}
        first: dict[str, int] = {}
        for key_node, item in node.value:
            if not isinstance(key_node, ScalarNode):
                self._found(path, "a mapping or list as a key", "a name as each key", _line(key_node))
                continue
            key = str(key_node.value)
            if key == "<<" and key_node.style not in ("'", '"'):
                self._found(path, "a merge key (<<)", "what tasks share under defaults or categories", _line(key_node))
                continue
            if key in value:
                here = (*path, key)
                self.findings.append(Finding(here, "this key again", f"it once (line {first[key]} has it)"))
                self._lines[here] = _line(key_node)
                continue
            first[key] = _line(key_node)
            value[key] = self._read(item, (*path, key))
        return value

    def _scalar(self, node: ScalarNode, path: Path) -> Any:
        text: str = node.value
        match node.tag.removeprefix("tag:yaml.org,2002:"):
            case "str":
                return self._with_variables(text, path) if "$" in text else text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text)
            case "float":
                return float(text)
            case tag:
                self.spoiled.add(path)
                self._found(path, f"the tag {tag}", "plain YAML without tags of its own")
                return _UNSET

    def _with_variables(self, text: str, path: Path) -> str:
        def replaced(match: re.Match[str]) -> str:
            if match.group() == "$$":
                return "$"
            name, default = match.group(1), match.group(2)
            if name is None:
                self.spoiled.add(path)
                self._found(path, "${ that names no variable", "${NAME}, ${NAME:-default}, or $$ for a dollar sign")
                return _UNSET
            if default is not None:
                return self._environ.get(name) or default
            if name not in self._environ:
                self.spoiled.add(path)
                self._found(
                    path,
                    f"${{{name}}}, which is not set",
                    f"the environment variable {name} (or a default: ${{{name}:-...}})",
                )
                return _UNSET
            return self._environ[name]

        return _VARIABLE.sub(replaced, text)

    def _found(self, path: Path, found: str, expected: str, line: int | None = None) -> None:
        self.findings.append(Finding(path, found, expected))
        if line is not None:
            self._lines[path] = line


def _composed(text: str, name: str) -> Node:
    parser = None
    try:
        parser = _Composer(text)
        node = parser.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 0
        expected = "well-formed YAML"
        lines = text.splitlines()
        if 0 < line <= len(lines) and re.search(r"[\[{,]\s*\$\{", lines[line - 1]):
            expected += ' (inside [ ] and { } a variable needs quotes: ["${NAME}"])'
        raise CatalogueError([Problem(name, line, "", f"bad YAML ({error.problem})", expected)]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise CatalogueError(
            [Problem(name, line, "", f"a character that YAML forbids ({error.reason})", "printable text")]
        ) from None
    finally:
        if parser is not None:
            parser.dispose()
    if not isinstance(node, MappingNode):
        found = "nothing" if node is None else "a list" if isinstance(node, SequenceNode) else "text"
        raise CatalogueError([Problem(name, 1, "", found, "a mapping with platforms, sources and tasks")])
    return node


def _child(node: Node, part: str | int) -> tuple[Node | None, Node | None]:
    """The key's node (None in a list) and the value's node."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            if isinstance(key, ScalarNode) and key.value == str(part):
                return key, value
    elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    return None, None


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1
