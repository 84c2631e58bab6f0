"""`cakravia completion`: the script with which a shell completes commands and options."""

from __future__ import annotations

import click


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
      cakravia completion bash
      bash: eval "$(cakravia completion bash)"           in ~/.bashrc
      zsh:  eval "$(cakravia completion zsh)"            in ~/.zshrc
      fish: cakravia completion fish | source            in ~/.config/fish/config.fish
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    assert script is not None
    click.echo(script(context.find_root().command, {}, "cakravia", "_CAKRAVIA_COMPLETE").source())
