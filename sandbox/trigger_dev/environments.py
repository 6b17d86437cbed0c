"""Environments and the secret keys that open them (reference 1.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sandbox.trigger_dev.identifiers import base36, stable_cuid

_KEY = re.compile(r"tr_(dev|stg|prod|preview)_(sk_)?\S+")


@dataclass(frozen=True)
class Environment:
    """One environment of the pretend project.

    `id` is a cuid derived from the root key; `slug` is dev, stg, prod or preview; `root_key` also signs
    public tokens.
    """

    id: str
    slug: str
    root_key: str

    @property
    def is_dev(self) -> bool:
        """Whether runs get the development defaults: a ttl of ten minutes, no compute cost."""
        return self.slug == "dev"

    @property
    def region(self) -> str:
        """What a run shows as region: the environment's id in development."""
        return self.id if self.is_dev else "local-dev"

    @property
    def project_ref(self) -> str:
        """The project's external reference, which is part of packet addresses."""
        return "proj_pretendtriggerdevsbx"

    def described(self) -> dict[str, str]:
        """The `env` object of list items."""
        described = {"id": self.id, "name": self.slug}
        return {**described, "user": "Local Developer"} if self.is_dev else described


class Environments:
    """All environments, found by key or by id."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        """Every root key makes an environment; `tr_prod_sk_...` opens the first one of its kind.

        Raises ValueError for a key that has no environment prefix, or an additional key without a root key.
        """
        self._by_key: dict[str, Environment] = {}
        self._by_id: dict[str, Environment] = {}
        additional: list[tuple[str, str]] = []
        for key in secret_keys:
            match = _KEY.fullmatch(key)
            if match is None:
                raise ValueError("secret key must look like tr_dev_..., tr_stg_..., tr_prod_... or tr_preview_...")
            if match[2]:
                additional.append((key, match[1]))
                continue
            environment = Environment(stable_cuid(key), match[1], key)
            self._by_key[key] = self._by_id[environment.id] = environment
        for key, slug in additional:
            self._by_key[key] = self._first(slug)

    def _first(self, slug: str) -> Environment:
        for environment in self._by_id.values():
            if environment.slug == slug:
                return environment
        raise ValueError(f"an additional key for {slug!r} needs a root key tr_{slug}_... of the same environment")

    def by_key(self, key: str) -> Environment | None:
        """The environment a secret key opens."""
        return self._by_key.get(key)

    def by_id(self, environment_id: str) -> Environment | None:
        """The environment with that id (the `sub` of public tokens)."""
        return self._by_id.get(environment_id)

    def all(self) -> list[Environment]:
        """Every environment, in the order of the keys."""
        return list(self._by_id.values())


def example_key(slug: str) -> str:
    """A well-formed root key for trying the server by hand: the same one for the same slug."""
    return f"tr_{slug}_{base36(int.from_bytes(slug.encode()) * 36**12 + 1, 24)}"
