"""The environment that `${NAME}` is read from, when what it holds does not matter."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping


class Placeholders(Mapping[str, str]):
    """An environment in which every variable is set. Each placeholder is different, as true secrets are."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        return self._environ.get(name, f"placeholder-for-{name}")

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]  # no other default is asked for
        """What is truly set: `${NAME:-default}` has a better value than a placeholder."""
        return self._environ.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._environ)

    def __len__(self) -> int:
        return len(self._environ)


def environment(*, allow_unset: bool) -> Mapping[str, str]:
    """The process's environment; with `allow_unset` a placeholder where a variable is missing."""
    return Placeholders(os.environ) if allow_unset else os.environ
