"""The command ``rpcserver completion``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command(short_help="Print the script for completion in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes commands and options.

    \b
    bash: eval "$(rpcserver completion bash)"      in ~/.bashrc
    zsh:  eval "$(rpcserver completion zsh)"       in ~/.zshrc, behind compinit
    fish: rpcserver completion fish | source       in ~/.config/fish/config.fish
    """
    classes = get_completion_class(shell)
    assert classes is not None
    script = classes(context.find_root().command, {}, "rpcserver", "_RPCSERVER_COMPLETE")
    text = (script.source_template % script.source_vars()).rstrip()
    # click's script for fish cuts descriptions at their first comma.
    click.echo(text.replace('string split ","', 'string split -m 1 ","'))
