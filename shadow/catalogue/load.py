"""Read a catalogue: YAML, `${ENV}`, models, references, with every problem and its line at once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from shadow.catalogue import validation
from shadow.catalogue.model import Catalogue
from shadow.catalogue.problems import CatalogueError, Finding, Problem
from shadow.catalogue.resolve import resolve
from shadow.catalogue.resolved import ResolvedCatalogue
from shadow.catalogue.text import CatalogueText


def load(path: Path, environ: Mapping[str, str] = os.environ) -> ResolvedCatalogue:
    """Read the catalogue of that file.

    Raises:
        CatalogueError: it cannot be used; names every problem with its line.
        OSError: the file cannot be read.
    """
    data = path.read_bytes()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise CatalogueError([Problem(str(path), line, "", "bytes that are no UTF-8", "UTF-8 text")]) from None
    return parse(text, str(path), environ)


def parse(text: str, name: str, environ: Mapping[str, str] = os.environ) -> ResolvedCatalogue:
    """Read the catalogue in that text.

    Args:
        name: what problems call the file.
        environ: the values of `${NAME}`.

    Raises:
        CatalogueError: as `load`.
    """
    document = CatalogueText(text, name, environ)
    found = list(document.findings)
    resolved = None
    try:
        catalogue = Catalogue.model_validate(document.value)
    except ValidationError as error:
        found += _apart_from_spoiled(validation.findings(error, document.value, document.raw), document)
    else:
        resolved, more = resolve(catalogue)
        found += _apart_from_spoiled(more, document)
    if found or resolved is None:
        raise CatalogueError(map(document.problem, found))
    return resolved


def _apart_from_spoiled(found: list[Finding] | tuple[Finding, ...], document: CatalogueText) -> list[Finding]:
    """Without what only follows from a value that could not be made, as of a variable that is not set."""
    return [finding for finding in found if finding.path not in document.spoiled]
