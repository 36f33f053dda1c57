"""Completion in bash, where click's own does not know words that no space follows, such as ``name=``."""

from __future__ import annotations

from typing import ClassVar

from click.shell_completion import BashComplete, CompletionItem, add_completion_class

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
    _before = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one at the cursor, and that one. Bash takes a ``=`` for a word of its own, and what is
        behind it for the word to complete."""
        args, incomplete = super().get_completion_args()
        words: list[str] = []
        goes_on = False
        for word in [*args, incomplete]:
            if words and (word == "=" or goes_on):
                words[-1] += word
            else:
                words.append(word)
            goes_on = word == "="
        *args, incomplete = words
        self._before = incomplete[: incomplete.rfind("=") + 1]
        return args, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """What bash is to put in place of the word that it completes: what is behind the last ``=``."""
        return f"{item.type},{item.value.removeprefix(self._before)}"


def register() -> None:
    """Have click use it."""
    add_completion_class(Bash)
