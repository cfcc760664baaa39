"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

# Before you fill this in:
# - What was released stays as it was: a changed object is a new file sql/NAME_v2.sql, and this revision
#   names the version that it installs and the one that its downgrade goes back to.
# - A function that keeps its signature: replace("NAME_v2"), which keeps owner and grants. One that changes
#   it: drop, run("NAME_v2"), and grant again what the old one had granted.
# - New objects: run("NAME_v1", "set_owner_v1"), last, so that they belong to the owner of the platform.
# - Never create, alter or drop a table of the platform; no view and no index predicate on its tables.
# - A lock on its tables is waited for 4 s (migrations/connections.py). An index is built "concurrently", in
#   autocommit_block(), alone in its revision, and begins by dropping what a failed attempt left: see 0002.
# - What depends on the database's state is asked in SQL, in a do block, so that a --sql script asks as well.
# - The downgrade undoes exactly this: tests/test_migrations.py goes down and up through every revision.
# Then delete these lines.

from alembic import op

from migrations.sql_files import replace, run

revision = "${up_revision}"
down_revision = "${down_revision}"


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
