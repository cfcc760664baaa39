"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

# Before you fill this in:
# - The revision is named like the release. A release that changes only functions has an empty one (pass):
#   functions are edited in sql/, and every alembic upgrade head applies them after the revisions.
# - Its SQL stands beside it, in a file of the same name, and is run by run("versions/${up_revision}_NAME").
#   What was released is never edited.
# - A new table also gets its comments in sql/tables.sql and its name in v_tables of deploy/finish.sql, which
#   gives it to the owner of the platform's table.
# - A function whose result type or parameter names change is dropped here, with its rights saved:
#   see CONTRIBUTING.md.
# - Never create, alter or drop a table of the platform; no view and no index predicate on its tables.
# - A lock on its tables is waited for 4 s (migrations/connections.py). An index is built "concurrently", in
#   autocommit_block(), alone in its revision, and begins by dropping what a failed attempt left: see 0002.
# - What depends on the database's state is asked in SQL, in a do block or by \gexec, so that a --sql script
#   asks as well.
# - The downgrade undoes exactly this: tests/test_migrations.py goes down and up through every revision.
# Then delete these lines.

from migrations.sql_files import run

revision = "${up_revision}"
down_revision = "${down_revision}"


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
