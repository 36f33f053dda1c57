"""The commands to rpcclient itself within a session: a tilde at the beginning of a line begins one (ssh(1))."""

from __future__ import annotations

from enum import Enum

HELP = """\
  ~.   leave the session
  ~^Z  suspend rpcclient; fg comes back
  ~?   this list
  ~~   type a tilde
(They count at the beginning of a line, after Enter.)
"""


class Action(Enum):
    """A command to rpcclient itself."""

    LEAVE = b"."
    HELP = b"?"
    SUSPEND = b"\x1a"


_ACTIONS = {action.value: action for action in Action}


class Escapes:
    """Splits what is typed into input for the program and commands to rpcclient."""

    def __init__(self) -> None:
        self._at_line_start = True
        self._follows_tilde = False

    def feed(self, data: bytes) -> list[bytes | Action]:
        """What was typed, in its order.

        Parameters:
            data: as it came from the terminal, in pieces of any size.
        """
        parts: list[bytes | Action] = []
        plain = bytearray()
        for number in data:
            byte = bytes((number,))
            if self._follows_tilde:
                self._follows_tilde = False
                action = _ACTIONS.get(byte)
                if action is not None:
                    if plain:
                        parts.append(bytes(plain))
                        plain.clear()
                    parts.append(action)
                    self._at_line_start = True
                    continue
                plain += b"~" if byte == b"~" else b"~" + byte
            elif byte == b"~" and self._at_line_start:
                self._follows_tilde = True
                continue
            else:
                plain += byte
            self._at_line_start = byte in b"\r\n"
        if plain:
            parts.append(bytes(plain))
        return parts
