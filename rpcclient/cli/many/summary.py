"""What is said in the end of a call on many nodes: each node that is not well, with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .answers import fold_answers


def tell(total: int, problems: Sequence[tuple[str, str]], *, drops: int = 0) -> Iterator[str]:
    """The lines of the summary; none if all nodes are well.

    Parameters:
        total: the number of nodes.
        problems: the name of each node that is not well, and why.
        drops: items of streams that did not arrive.
    """
    if problems:
        yield f"{total - len(problems)} of {total} nodes are well"
        for answer in fold_answers(problems):
            first, *more = answer.content.split("\n")
            yield f"  {answer.title}: {first}"
            yield from (f"    {line}" for line in more)
    if drops:
        yield f"{drops} items did not arrive"


def tell_interruption(left: Iterable[str]) -> str:
    """The line after Ctrl-C.

    Parameters:
        left: the names of the nodes that had not ended.
    """
    answers = fold_answers((name, "") for name in left)
    return f"interrupted: cancelled on {answers[0].title}" if answers else "interrupted: all nodes had ended"
