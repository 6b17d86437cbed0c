"""The schema for editors, the reference page and the example: they all say the same as the models."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel, SecretStr

import shadow.catalogue
from shadow.catalogue import check, json_schema, load, model, parse, rule_settings
from shadow.catalogue.validation import SECRET_KEYS
from shadow.catalogue.variables import Placeholders
from tests.unit.shadow.catalogue.generated import ENVIRON, generated, small

ROOT = Path(__file__).parents[4]
SCHEMA_FILE = ROOT / "docs/reference/catalogue.schema.json"
PAGE = (ROOT / "docs/reference/catalogue.md").read_text()
EXAMPLE = ROOT / "examples/catalogue.yaml"
MODELS = [
    one
    for module in (model, rule_settings)
    for one in vars(module).values()
    if isinstance(one, type) and issubclass(one, BaseModel)
]

validator = Draft202012Validator(json_schema())


def valid(text: str) -> bool:
    return bool(validator.is_valid(yaml.safe_load(text)))


def test_the_schema_in_the_documentation_is_current() -> None:
    expected = orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    assert SCHEMA_FILE.read_bytes() == expected, "run: shadow tasks schema > docs/reference/catalogue.schema.json"


def test_the_schema_is_one_of_its_dialect_and_refers_to_nothing_outside() -> None:
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == "catalogue.schema.json"
    references = re.findall(r'"\$ref":\s*"([^"]*)"', orjson.dumps(schema).decode())
    assert references
    assert all(reference.startswith("#/$defs/") for reference in references)


@pytest.mark.parametrize("text", [EXAMPLE.read_text(), small(), generated(20)])
def test_what_loads_is_valid(text: str) -> None:
    parse(text, "c.yaml", Placeholders(ENVIRON))
    assert list(validator.iter_errors(yaml.safe_load(text))) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("app: commerce", "ap: commerce"),
        ("side: legacy", "side: old"),
        ("kind: webhook", "kind: hook"),
        ("sources: [app]", "sources: app"),
        ("side: legacy", "side: legacy\n    concurrency: lots"),
        # expressions are known, too
        ("as: string", "as: text"),
        ("path: $.id", "path: id"),
        ('key: "header:x-shop"', 'ky: "header:x-shop"'),
    ],
)
def test_editors_see_what_is_wrong(old: str, new: str) -> None:
    assert valid(small())
    assert not valid(small((old, new)))


def test_a_variable_may_stand_for_a_number() -> None:
    assert valid(small(("side: legacy", "side: legacy\n    concurrency: ${MANY}")))


def test_every_key_of_every_model_is_in_the_reference() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", PAGE))
    missing = {f"{one.__name__}.{key}" for one in MODELS for key in one.model_fields if key not in documented}
    assert not missing


@pytest.mark.parametrize(
    "code", [code for code in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if "platforms:" in code]
)
def test_every_whole_catalogue_in_the_reference_loads(code: str) -> None:
    parse(code, "catalogue.md", Placeholders({}))


def test_every_warning_is_in_the_reference() -> None:
    source = Path(shadow.catalogue.check.__globals__["__file__"]).read_text()
    codes = set(re.findall(r'CatalogueWarning\(\s*"([a-z-]+)"', source))
    assert len(codes) > 10
    assert {code for code in codes if f"`{code}`" not in PAGE} == set()


def test_the_example_has_but_the_warnings_it_shows() -> None:
    assert check(load(EXAMPLE, Placeholders({}))) == ()


def test_the_example_has_a_comment_before_every_section() -> None:
    lines = EXAMPLE.read_text().splitlines()
    for number, line in enumerate(lines):
        if re.match(r"[a-z_]+:", line):
            assert lines[number - 1].startswith("#"), line


def test_every_secret_field_is_known_as_one() -> None:
    def holds_secret(annotation: Any) -> bool:
        return annotation is SecretStr or "SecretStr" in repr(annotation)

    secret = {key for one in MODELS for key, field in one.model_fields.items() if holds_secret(field.annotation)}
    # Those of ReportKeys stand below `report_keys`.
    assert secret - {"legacy", "candidate"} <= SECRET_KEYS
    assert len(secret) >= 6


def test_the_public_names_exist_and_are_in_order() -> None:
    assert shadow.catalogue.__all__ == sorted(shadow.catalogue.__all__)
    assert all(hasattr(shadow.catalogue, name) for name in shadow.catalogue.__all__)
