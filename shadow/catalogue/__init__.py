"""The catalogue: one YAML file that says which platforms, sources and tasks a migration has."""

from __future__ import annotations

from shadow.catalogue.check import check
from shadow.catalogue.expressions import CompiledExpression, Document, ExpressionError, MappingFailed
from shadow.catalogue.load import load, parse
from shadow.catalogue.model import Catalogue
from shadow.catalogue.problems import CatalogueError, Problem
from shadow.catalogue.resolved import CandidateTarget, LegacyTarget, ResolvedCatalogue, ResolvedTask, Route
from shadow.catalogue.schema import json_schema
from shadow.catalogue.warning import CatalogueWarning
from shadow.catalogue.webhook import Ignored, MappedEvent, WebhookMapper

__all__ = [
    "CandidateTarget",
    "Catalogue",
    "CatalogueError",
    "CatalogueWarning",
    "CompiledExpression",
    "Document",
    "ExpressionError",
    "Ignored",
    "LegacyTarget",
    "MappedEvent",
    "MappingFailed",
    "Problem",
    "ResolvedCatalogue",
    "ResolvedTask",
    "Route",
    "WebhookMapper",
    "check",
    "json_schema",
    "load",
    "parse",
]
