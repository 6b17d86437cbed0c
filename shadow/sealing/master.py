"""The master key: what the tenants' keys are wrapped by. It never stands in the database."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LENGTH = 32
"""Bytes of every key here: AES-256."""
VARIABLE = "SHADOW_SEALING_KEY"
FILE_VARIABLE = "SHADOW_SEALING_KEY_FILE"
FILE_NAME = "sealing.key"
"""In the data folder, beside the embedded database."""

_NONCE = 12


class NoSealingKey(Exception):
    """Nobody said by which master key this database's bodies are sealed."""

    def __init__(self) -> None:
        super().__init__(
            f"bodies are sealed by a master key, and none was given: set {VARIABLE} to 32 bytes in base64 or hex"
            f" (`shadow sealing-key new` makes one), or {FILE_VARIABLE} to a file that holds it, to the same value in"
            " every process on this database. Keep it: without it nothing that is stored can be delivered or replayed."
        )


class BadSealingKey(ValueError):
    """What was given as master key is none."""


class WrongSealingKey(Exception):
    """The master key is not the one by which this database's keys were wrapped."""

    def __init__(self, given: str) -> None:
        super().__init__(
            f"the database's keys were wrapped by another master key than the given one (fingerprint {given}): every"
            f" process on one database needs the same {VARIABLE}"
        )


SEALING_PROBLEMS = (NoSealingKey, BadSealingKey, WrongSealingKey)
"""What a person has to mend before anything can be sealed or opened."""


class MasterKey:
    """Wraps the keys of tenants."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != LENGTH:
            raise BadSealingKey(f"found a key of {len(secret)} bytes, expected {LENGTH}")
        self._secret = secret
        self._cipher = AESGCM(secret)
        self.fingerprint = hashlib.sha256(b"shadow sealing key" + secret).hexdigest()[:12]
        """By which people tell keys apart; says nothing about the key."""

    def derived(self, purpose: bytes) -> bytes:
        """A key for that purpose alone."""
        return HKDF(algorithm=SHA256(), length=LENGTH, salt=None, info=purpose).derive(self._secret)

    def wrap(self, key: bytes, context: bytes) -> bytes:
        """The key as it may be stored; `context` (whose it is) has to be the same to get it back."""
        nonce = os.urandom(_NONCE)
        return nonce + self._cipher.encrypt(nonce, key, context)

    def unwrap(self, wrapped: bytes, context: bytes) -> bytes:
        """
        Raises:
            WrongSealingKey: it was wrapped by another key, or is another's, or damaged.
        """
        try:
            return self._cipher.decrypt(wrapped[:_NONCE], wrapped[_NONCE:], context)
        except (InvalidTag, ValueError):  # the second of what is too short
            raise WrongSealingKey(self.fingerprint) from None


def new_text() -> str:
    """A new master key as text for `SHADOW_SEALING_KEY`."""
    return base64.b64encode(secrets.token_bytes(LENGTH)).decode()


def parse(text: str) -> MasterKey:
    """A master key from base64 (either alphabet) or hex.

    Raises:
        BadSealingKey: it is neither, or not 32 bytes.
    """
    text = text.strip()
    try:
        if len(text) == 2 * LENGTH:
            return MasterKey(bytes.fromhex(text))
        padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
        return MasterKey(base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True))
    except (binascii.Error, ValueError) as error:
        found = str(error) if isinstance(error, BadSealingKey) else f"found {len(text)} characters of neither"
        raise BadSealingKey(f"{found}; a master key is {LENGTH} bytes in base64 or hex") from None


def given(data: Path | None = None, environment: Mapping[str, str] | None = None) -> MasterKey:
    """The master key of this process: of the variable, else of a file.

    Args:
        data: the data folder when the database is the embedded one: then a key file there will do, made when missing.

    Raises:
        NoSealingKey: there is none, and the database may be others' too, who could not know a key made here.
        BadSealingKey: what is there is no key.
    """
    environment = os.environ if environment is None else environment
    if text := environment.get(VARIABLE):
        return parse(text)
    if named := environment.get(FILE_VARIABLE):
        return of_file(Path(named))
    if data is not None:
        return of_file(data / FILE_NAME)
    raise NoSealingKey


def of_file(path: Path) -> MasterKey:
    """The master key in that file; made, readable for its owner alone, when there is none.

    Raises:
        BadSealingKey: the file holds something else.
    """
    if not path.exists():
        _make(path)
    try:
        return parse(path.read_text())
    except BadSealingKey as error:
        raise BadSealingKey(f"{path}: {error}") from None


def replace(path: Path, text: str) -> None:
    """Put another key into that file."""
    _written(path, text).replace(path)


def _make(path: Path) -> None:
    """Write a new key, whole or not at all: of several processes at once, one is first and the others use its key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _written(path, new_text())
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        pass  # another process was first
    finally:
        partial.unlink()


def _written(path: Path, text: str) -> Path:
    """A file beside that one, for its owner alone, with the key in it."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    return partial
