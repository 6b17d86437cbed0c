"""Nonces: never the same twice, in this process or in one forked from it."""

from __future__ import annotations

import subprocess
import sys

from shadow.sealing.nonces import LENGTH, nonce

FORKING = """
import os
from shadow.sealing.nonces import nonce
nonce()  # some are ready now
if child := os.fork():
    os.waitpid(child, 0)
for _ in range(100):
    print(nonce().hex())
"""


def test_no_nonce_is_handed_out_twice() -> None:
    drawn = [nonce() for _ in range(2000)]
    assert {len(one) for one in drawn} == {LENGTH}
    assert len(set(drawn)) == len(drawn)


def test_a_forked_process_draws_its_own() -> None:
    command = [sys.executable, "-c", FORKING]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.split()
    assert len(told) == len(set(told)) == 200
