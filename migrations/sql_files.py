"""Runs the files of sql/, online and in --sql scripts; a function's body is stored byte for byte."""

from pathlib import Path

from alembic import op
from sqlalchemy import TextClause, text

SQL = Path(__file__).parent.parent / "sql"


def read(name: str) -> str:
    """Return sql/NAME.sql."""
    return (SQL / f"{name}.sql").read_text(encoding="utf-8")


def statement(name: str) -> TextClause:
    """Return sql/NAME.sql for SQLAlchemy, in which a colon is a colon and not a bind parameter."""
    return text(read(name).rstrip().removesuffix(";").replace(":", r"\:"))


def run(*names: str) -> None:
    """Execute the named files in the current migration."""
    for name in names:
        op.execute(statement(name))


def replace(*names: str) -> None:
    """Execute the named files over functions of the same signature, which keep their owner and grants."""
    for name in names:
        op.execute(text(statement(name).text.replace("create function", "create or replace function", 1)))
