"""Regular expressions that an author writes: matched in a time that grows with the text alone, whoever wrote that.

Python's engine tries one way after the other: `(a+)+$` takes it longer than anybody waits for thirty letters, and the
texts are strangers'. RE2 follows all ways at once. Its dialect is a little another: what it can't say (lookaround, back
references, and what would be read differently) is refused, and what it says in other words is put into them, so that an
expression that is taken means what it means in Python.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import re2

EXPECTED: Final = (
    "a regular expression (Python's) that no text can make slow: without lookaround, back references, atomic groups "
    "and possessive repetition, and with no more than 1000 repetitions"
)
_WORD: Final = r"\p{L}\p{N}_"
_SPACE: Final = r"\t\n\x0b\f\r\x1c-\x1f\x20\x{85}\p{Z}"
_OUTSIDE: Final = {
    "d": r"\p{Nd}",
    "D": r"\P{Nd}",
    "w": f"[{_WORD}]",
    "W": f"[^{_WORD}]",
    "s": f"[{_SPACE}]",
    "S": f"[^{_SPACE}]",
    "Z": r"\z",
}
_INSIDE: Final = {"d": r"\p{Nd}", "D": r"\P{Nd}", "w": _WORD, "s": _SPACE, "b": r"\x08"}
"""Within brackets."""
_UNSAYABLE_OUTSIDE: Final = {"b": "write what may stand there", "B": "write what may stand there"}
"""RE2 knows the words of ASCII alone."""
_UNSAYABLE_INSIDE: Final = {"W": "write the characters out", "S": "write the characters out"}
_CODE: Final = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8}))")
_GROUPS: Final = frozenset("123456789")
_OCTAL: Final = re.compile(r"\\[0-7]{3}")
_AT_MOST: Final = re.compile(r"\{,([0-9]*)\}")
_OPENING: Final = re.compile(r"\[\^?\]?")
"""A bracket that comes first is one of the characters."""
_AMBIGUOUS: Final = ("[:", "[=", "[.", "--", "&&", "||", "~~")
"""Within brackets: other dialects, and a later Python, read more into them."""


class NotRegular(ValueError):
    """An expression that can't be, or that can't be matched in such a time. `str()` says why, in a few words."""


class Regular:
    """One expression."""

    def __init__(self, expression: str, *, memory: int = 8 << 20) -> None:
        """Make it.

        Args:
            memory: bytes that it may take, its automata included.

        Raises:
            NotRegular: it can't be made.
        """
        self.expression = expression
        try:
            translated = _in_re2(expression)
            re.compile(expression)
            options = re2.Options()
            options.log_errors = False
            options.max_mem = memory
            self._compiled = re2.compile(translated, options)
        except re2.error as error:
            said = error.args[0] if error.args else ""
            raise NotRegular(said.decode(errors="replace") if isinstance(said, bytes) else str(said)) from None
        except (re.error, UnicodeEncodeError, RecursionError, OverflowError) as error:
            raise NotRegular(str(error)) from None

    def takes(self, text: str) -> bool:
        """Whether it is that text as a whole. A text with half a character in it never is."""
        try:
            return self._compiled.fullmatch(text) is not None
        except UnicodeEncodeError:
            return False

    def is_within(self, text: str) -> bool:
        """Whether some part of that text is it."""
        try:
            return self._compiled.search(text) is not None
        except UnicodeEncodeError:
            return False

    def named(self, text: str) -> dict[str, str] | None:
        """Its named groups, where it is that text as a whole and all of them took part."""
        try:
            found = self._compiled.fullmatch(text)
        except UnicodeEncodeError:
            return None
        return None if found is None else found.groupdict()


@lru_cache(maxsize=1024)
def regular(expression: str) -> Regular:
    """The expression, made once.

    Raises:
        NotRegular: there is none.
    """
    return Regular(expression)


def _in_re2(expression: str) -> str:
    """What Python understands, in RE2's words.

    Raises:
        NotRegular: it has none for it, or would read it otherwise.
    """
    pieces: list[str] = []
    position = 0
    inside = False
    while position < len(expression):
        character = expression[position]
        if character == "\\":
            piece, taken = _escaped(expression, position, inside)
        elif inside:
            if expression.startswith(_AMBIGUOUS, position):
                raise NotRegular(f"{expression[position : position + 2]} within brackets: write it with backslashes")
            piece, taken, inside = character, 1, character != "]"
        elif character == "[":
            opening = _OPENING.match(expression, position)
            assert opening is not None
            if expression.startswith("[", opening.end()):
                raise NotRegular("[ as the first within brackets: write it with a backslash")
            piece, taken, inside = opening[0].replace("]", r"\]"), len(opening[0]), True
        elif character == "{" and (most := _AT_MOST.match(expression, position)) is not None:
            piece, taken = f"{{0,{most[1]}}}", len(most[0])
        else:
            piece, taken = character, 1
        pieces.append(piece)
        position += taken
    return "".join(pieces)


def _escaped(expression: str, position: int, inside: bool) -> tuple[str, int]:
    """What a backslash and what follows it are, and how much of the expression that is."""
    code = _CODE.match(expression, position)
    if code is not None:
        return f"\\x{{{code[1] or code[2]}}}", len(code[0])
    letter = expression[position + 1 : position + 2]
    unsayable = _UNSAYABLE_INSIDE if inside else _UNSAYABLE_OUTSIDE
    if letter in unsayable:
        raise NotRegular(f"\\{letter}{' within brackets' if inside else ''}: {unsayable[letter]}")
    if not inside and letter in _GROUPS and _OCTAL.match(expression, position) is None:
        # RE2 would take some of them for characters.
        raise NotRegular(f"\\{letter}: a back reference")
    words = _INSIDE if inside else _OUTSIDE
    return words.get(letter, f"\\{letter}"), 2  # Python refuses one at the end
