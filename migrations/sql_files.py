"""Runs the files of sql/ byte for byte, online and in --sql scripts."""

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
