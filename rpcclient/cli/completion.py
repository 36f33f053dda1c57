"""``rpcclient completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from . import bash


@click.command(short_help="Print the script for completion in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes commands, options, methods, their parameters, programs, and nodes.

    \b
    bash: eval "$(rpcclient completion bash)"      in ~/.bashrc
    zsh:  eval "$(rpcclient completion zsh)"       in ~/.zshrc, behind compinit
    fish: rpcclient completion fish | source       in ~/.config/fish/config.fish
    """
    bash.register()
    classes = get_completion_class(shell)
    assert classes is not None
    script = classes(context.find_root().command, {}, "rpcclient", "_RPCCLIENT_COMPLETE")
    text = (script.source_template % script.source_vars()).rstrip()
    # click's script for fish cuts descriptions at their first comma.
    click.echo(text.replace('string split ","', 'string split -m 1 ","'))
