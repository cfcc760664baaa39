"""Runs SQL files, online and in --sql scripts, exactly as they are written."""

import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import psycopg
from alembic import context

MIGRATIONS = Path(__file__).parent
SQL = MIGRATIONS.parent / "sql"
LOCK_WAIT = "60 s"  # for another deployment


def read(name: str, **values: str) -> str:
    """Return migrations/NAME.sql with its {placeholders} filled in, some of them by VALUES."""
    text = (MIGRATIONS / f"{name}.sql").read_text(encoding="utf-8")
    for placeholder, value in {**placeholders(), **values}.items():
        text = text.replace(f"{{{placeholder}}}", value)
    return text


def placeholders() -> dict[str, str]:
    """Return the placeholders of SQL files: texts, lists, and queries needed before their function exists."""
    comments = (SQL / "tables.sql").read_text(encoding="utf-8")
    return {
        "comments": comments,
        "definitions": ",\n".join(f"$definition$\n{text}$definition$" for text in functions().values()),
        "functions": literals(functions()),
        "lock_wait": LOCK_WAIT,
        "objects": query("class_activation_internal.objects()"),
        "prerequisites": query("class_activation.prerequisites()"),
        "revisions": literals(script.revision for script in context.script.walk_revisions()),
        "schemas": literals(["class_activation", "class_activation_internal"]),
        "tables": literals(re.findall(r"^comment on (?:table|sequence) ([\w.]+) is", comments, re.MULTILINE)),
        # the role that owns the table with the status
        "tables_owner": query("class_activation.prerequisites()").partition(", job as")[0],
    }


def literals(values: Iterable[str]) -> str:
    """Return VALUES as the elements of an array in SQL."""
    return ", ".join("'" + value.replace("'", "''") + "'" for value in values)


@cache
def functions() -> dict[str, str]:
    """Return the text of each file of sql/ that defines a function, by the function's signature."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(SQL.glob("*/*.sql")))
    comment = re.compile(r"^comment on function ([^)]+\)) is", re.MULTILINE)
    return {" ".join(comment.search(text)[1].split()): text for text in texts}


def query(signature: str) -> str:
    """Return the query that is all of a function's body."""
    return re.search(r"\n  return query\n(.*);\nend;\n\$function\$", functions()[signature], re.DOTALL)[1]


def execute(text: str) -> list[tuple]:
    """Execute SQL in the current transaction and return its rows, or write it into the script."""
    if context.is_offline_mode():
        context.get_context().impl.static_output(text.rstrip() + "\n")
        return []
    # not through SQLAlchemy, in which a colon is a parameter and a percent sign a format
    cursor = context.get_bind().connection.cursor()
    cursor.execute(text)
    return cursor.fetchall() if cursor.description else []


def driver_connection() -> psycopg.Connection:
    """Return the connection to the platform's database."""
    return context.get_bind().connection.driver_connection


def run(name: str, **values: str) -> None:
    """Execute migrations/NAME.sql in the current transaction."""
    execute(read(name, **values))
