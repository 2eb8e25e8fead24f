"""Groups of commands that answer a misspelt command with the closest one."""

from __future__ import annotations

import click

from sdk.validation import hint


class SuggestingGroup(click.Group):
    """A group of commands, with "did you mean" in the error for an unknown one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError:
            near = hint(args[0], self.commands)
            if near:
                raise click.UsageError(f"No such command {args[0]!r}{near}", ctx) from None
            raise
