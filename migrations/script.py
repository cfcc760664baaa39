"""What a --sql script asks psql: which revision is installed, and so which of its steps are due."""

from collections.abc import Iterator

from alembic import context

INSTALLED = r"""\set revision base
set class_activation.revision = 'base';
select pg_catalog.to_regclass('class_activation.alembic_version') is not null as installed \gset
\if :installed
select pg_catalog.set_config('class_activation.revision', version_num, false) as revision
from class_activation.alembic_version \gset
\endif"""

DUE = r"""select pg_catalog.current_setting('class_activation.revision') operator(pg_catalog.=)
  any (array[{revisions}]) as due \gset"""

NOTHING_TO_DO = r"""\if :due
\else
\echo 'class activation is at revision' :revision', and nothing was changed'
\quit
\endif"""


def write(text: str) -> None:
    """Write lines for psql into the script."""
    context.get_context().impl.static_output(text)


def due(revisions: list[str]) -> None:
    """Ask whether one of REVISIONS is installed."""
    write(DUE.format(revisions=", ".join(f"'{revision}'" for revision in revisions)))


def steps(upgrade: bool) -> list[list[str]]:
    """Return, for each step of the script, the revisions from which it is due."""
    start, end = context.get_starting_revision_argument(), context.get_revision_argument()
    upper, lower = (end, start) if upgrade else (start, end)
    chain = [script.revision for script in context.script.iterate_revisions(upper, lower)][::-1]
    if upgrade:
        return [[lower or "base", *chain][: number + 1] for number in range(len(chain))]
    return [chain[number:] for number in reversed(range(len(chain)))]


def end_where_nothing_is_due(upgrade: bool) -> None:
    """End the script where none of its steps is due."""
    write(INSTALLED)
    due(sorted({revision for revisions in steps(upgrade) for revision in revisions}))
    write(NOTHING_TO_DO)


def say_where_it_ends() -> None:
    """Name the revision that is installed after the script."""
    write(rf"\echo 'class activation is at revision {context.get_revision_argument() or 'base'}'")


def guards(upgrade: bool) -> Iterator[None]:
    """Open the first step, and with each next() close one and open the next."""
    for revisions in steps(upgrade):
        due(revisions)
        write(r"\if :due")
        yield
        write(r"\endif")
