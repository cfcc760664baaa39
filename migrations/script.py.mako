"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
"""

# Before you fill this in:
# - The revision is named like the release. A release that changes only functions has an empty one (pass):
#   functions are edited in sql/, and every alembic upgrade head applies them after the revisions.
# - Its SQL is in a file of the same name, run by run("versions/${up_revision}_NAME").
#   Released files are never edited.
# - A new table also gets its comments in sql/tables.sql, by which the deployment knows it.
# - Never create, alter or drop a table of the platform; no view and no index predicate on its tables.
# - A deployment is one transaction: no autocommit_block(), and lock_timeout is 4 s (deploy/settings.sql).
# - Make decisions that depend on the database in SQL, in a do block, so that a --sql script makes them too.
# - The downgrade undoes exactly this: tests/test_doors.py goes up and down through every revision.
# Then delete these lines.

from migrations.sql_files import run

revision = "${up_revision}"
down_revision = "${down_revision}"


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
