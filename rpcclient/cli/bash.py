"""Completion in bash, where click's own does not know words that no space follows, such as ``name=``."""

from __future__ import annotations

from typing import ClassVar

from click.shell_completion import BashComplete, add_completion_class

_SOURCE = """\
%(complete_func)s() {
    local IFS=$'\\n'
    local type value

    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
        [[ $value == *= ]] && compopt -o nospace
    done < <(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1")
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """As click's, but that the cursor stays behind ``name=``, and that ``name=value`` is one word."""

    source_template: ClassVar[str] = _SOURCE

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one. Bash takes a ``=`` for a word of its own."""
        args, incomplete = super().get_completion_args()
        if incomplete == "=" and args:
            return args[:-1], args[-1] + "="
        if len(args) > 1 and args[-1] == "=":
            return args[:-2], f"{args[-2]}={incomplete}"
        return args, incomplete


def register() -> None:
    """Have click use it."""
    add_completion_class(Bash)
