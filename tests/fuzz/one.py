"""One fuzzer in a process of its own: `python -m tests.fuzz.one MODULE NAME SECONDS CORPUS`. See `tests.fuzz`."""

from __future__ import annotations

import sys
import traceback
from importlib import import_module
from pathlib import Path

import atheris

from tests.fuzz.harness import Harness

LONGEST = 16 * 1024
INSTRUMENTED = {
    "doors": [
        *("shadow.intake", "shadow.model", "api.front.list_query", "comparators.nesting"),
        *(f"shadow.catalogue.{name}" for name in ("expressions", "webhook", "casts", "paths", "values")),
    ],
    "workers": [
        *("shadow.effects", "shadow.outcomes.reported", "shadow.outcomes.inngest_outcome", "shadow.egress.answers"),
        *("shadow.model", "shadow.platforms.json_text", "api.front.watcher"),
        *("comparators.kinds", "comparators.nesting", "comparators.canonical", "comparators.generated"),
    ],
    "inside": [
        *("api.front.addressed", "shadow.access.hosts", "shadow.capture.statements", "shadow.catalogue"),
        *("shadow.effects.traceparent", "shadow.effects.business_keys", "shadow.egress.address"),
        *("shadow.spool.encoding", "comparators.kinds.address"),
    ],
    "judging": ["comparators", *(f"shadow.catalogue.{name}" for name in ("expressions", "casts", "paths"))],
}
"""Where coverage is looked at: watching a module costs a second when it is loaded."""


def main(module: str, name: str, seconds: int, corpus: Path) -> None:
    with atheris.instrument_imports(include=INSTRUMENTED[module], enable_loader_override=False):
        found = import_module(f"tests.fuzz.{module}")
    harness: Harness = next(one for one in found.HARNESSES if one.name == name)
    for number, seed in enumerate(harness.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)

    def attempt(data: bytes) -> None:
        try:
            harness.attempt(data)
        except Exception:
            traceback.print_exc()
            sys.stderr.write(f"crashed by {data!r}\n")
            raise

    arguments = [
        *(f"-max_total_time={seconds}", f"-max_len={LONGEST}", "-timeout=20", "-rss_limit_mb=4096"),
        *("-print_final_stats=1", f"-artifact_prefix={corpus.parent}/{name}-"),
    ]
    if harness.words:
        words = corpus.with_suffix(".words")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in harness.words))
        arguments.append(f"-dict={words}")
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], attempt)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
