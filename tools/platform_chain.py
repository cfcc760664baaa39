"""`make platform`: the platform's migrations in two databases, and class activation in one of them."""

import re
import sys
from collections import namedtuple
from contextlib import closing
from pathlib import Path
from textwrap import shorten
from uuid import uuid4

import psycopg
from harness import COMMAND, OFF, Database, alembic, url

STATUSES = ["Enrolled", "Enrolled", "Cancelled", "Completed", "Incomplete: Withdrawn", "Incomplete: Dropped"]
STATUSES += ["Incomplete: Failed to Complete", "Incomplete: Transfered", "Incomplete: Segregated"]
ROW = "{:<50}{:<7}{:>11}{:>12}{:>12}{:>8}  {}".format
# for each column: the column that it references, and a value if it is required and has no default
COLUMNS = """
select a.attname as name, f.confrelid::regclass::text as parent, p.attname as key,
  case when a.attnotnull and not a.atthasdef and a.attidentity = '' then case y.typcategory
    when 'N' then '1' when 'B' then 'false' when 'D' then 'now' when 'S' then 's'
    when 'E' then (select min(enumlabel) from pg_enum where enumtypid = y.oid) else '{}' end end as needed
from pg_attribute a join pg_type y on y.oid = a.atttypid
left join pg_constraint f on f.contype = 'f' and f.conrelid = a.attrelid and f.conkey = array[a.attnum]
left join pg_attribute p on p.attrelid = f.confrelid and p.attnum = f.confkey[1]
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped
"""
# without the checks of pg_cron, because no job is scheduled here
RESULT = """
select (select count(*) from class_activation.activations where class_id = {id}) as activated,
  (select count(enrolled_at) from program_class_enrollments where {key} = {id}) as backfilled,
  (select count(*) from change_log_entries where table_name = '{table}' and parent_ref_id = {id}) as logged,
  array(select concat(check_name, ': ', detail) from class_activation.doctor() where level = 'error'
   and check_name not in (select check_name from class_activation.doctor_pg_cron())) as errors,
  (select status from class_activation.health()) as health, (select status::text from {table} where id = {id})
"""
Migration = namedtuple("Migration", "number file name up down")


class Platform(Database):
    def insert(self, table: str, **columns: object) -> int:
        """Insert a row with those of COLUMNS that exist, and values for other required columns."""
        values = {}
        for name, parent, key, needed in self.rows(COLUMNS, table):
            if needed and parent and name not in columns:
                found = self.value(f"select (select {key} from {parent} limit 1)")
                values[name] = found or self.insert(parent)
            elif needed or name in columns:
                values[name] = columns.get(name, needed)
        for name in values.keys() & {"name", "username", "email"}:
            values[name] += f" {uuid4()}"
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        row = self.row(f"insert into {table} ({names}) values ({marks}) returning *", *values.values())
        return getattr(row, "id", 0)

    def objects(self, tables: str) -> set[str]:
        """Return columns, constraints, triggers and indexes of TABLES, without order and comments."""
        lines = {" ".join([*key, text]) for key, text in self.catalog().items()}
        for (comment,) in self.rows("select description from pg_description where objsubid > 0"):
            lines = {line.removesuffix(f" | {comment}") for line in lines}
        of_tables = re.compile(
            rf"(column|constraint|trigger) ({tables})\.|relation i .* ON public\.({tables}) "
        )
        return {re.sub(r" \d+ \|", "", line, count=1) for line in lines if of_tables.match(line)}


def parse(file: Path) -> Migration:
    """Read a goose file; statements of one transaction become one string."""
    pieces = re.split(r"(?m)^--[ \t]*\+goose[ \t]+(.*?)[ \t]*$", file.read_text())
    words, parts, part = [word.upper() for word in pieces[1::2]], {"": [], "UP": [], "DOWN": []}, ""
    for word, text in zip(words, pieces[2::2], strict=True):
        if word not in ("UP", "DOWN", "NO TRANSACTION", "STATEMENTBEGIN", "STATEMENTEND"):
            sys.exit(f"{file}: goose's directive {word} is not supported")
        part = word if word in parts else part
        # outside a block, a statement ends with a line that ends with a semicolon, comments aside
        end = r"(?s).+" if word == "STATEMENTBEGIN" else r"(?ms).+?^(?:(?!--)[^\n])*;[ \t]*(?:--[^\n]*)?$"
        parts[part] += re.findall(end, text)
    if not parts["UP"]:
        sys.exit(f"{file}: no statement follows -- +goose Up")
    if "NO TRANSACTION" not in words:
        parts = {name: ["\n;\n".join(statements)] for name, statements in parts.items()}
    return Migration(int(file.stem.split("_")[0]), file, f"{file.stem:.44}", parts["UP"], parts["DOWN"])


def run(database: str, statements: list[str]) -> str:
    """Run statements as goose does, and return their error or an empty string."""
    with closing(Database(database)) as db:
        try:
            for statement in statements:
                db.connection.execute(statement)
        except psycopg.Error as error:
            return str(error).splitlines()[0]
    return ""


def deploy(*arguments: str, database: str) -> str:
    """Run alembic, and return its error or an empty string."""
    process = alembic(*arguments, database=database, x=OFF)
    error = process.stderr.rpartition("ERROR ")[2].partition(" (SQLSTATE")[0].rpartition(" without: ")[2]
    return error.strip() if process.returncode else ""


def check(when: str, job: str, without: str) -> None:
    """Call the job as pg_cron does, for one class that is due, and print a line."""
    with closing(Platform(job)) as db, closing(Platform(without)) as other:
        try:
            if missing := db.rows("select class_activation.prerequisites()"):
                sys.exit(f"{when}: class activation lacks {', '.join(row[0] for row in missing)}")
            for platform, status in (other, "Active"), (db, "Scheduled"):
                class_id = platform.class_(status=status)
                for enrollment_status in STATUSES:
                    platform.enrollment(class_id, enrollment_status=enrollment_status)
            db.execute(COMMAND)
            found = db.row(RESULT.format(id=class_id, key=db.class_key, table=db.label))
        except psycopg.Error as error:
            sys.exit(f"{when}: {' '.join(str(error).split())}")
    print(ROW(when, "cohorts" if db.cohorts else "classes", *found[:3], len(found.errors), found.health))
    if found != (1, STATUSES.count("Enrolled"), 1, [], "ok", "Active"):
        sys.exit(f"{when}: the class is {found[-1]} after a run. {'; '.join(found.errors)}")


def climb(migrations: list[Migration], first: int, job: str, without: str) -> int:
    """Run the migrations up, install as soon as possible, and return the number of that migration."""
    installed, refusals = 0, ["", ""]
    for migration in migrations:
        for database, why in (without, "fails, with or without"), (job, "fails because of"):
            if error := run(database, migration.up):
                sys.exit(f"{migration.file} {why} class activation: {error}")
        if not installed and migration.number >= first:
            refusals.append(deploy("upgrade", "head", database=job))
            installed = 0 if refusals[-1] else migration.number
        if installed:
            check(migration.name, job, without)
        else:
            new = f"not installed: {refusals[-1]}" if refusals[-1] not in refusals[:-1] else ""
            print(f"{migration.name:<50}{shorten(new, 80, placeholder=' …')}")
    return installed or sys.exit("class activation cannot be installed after any of these migrations")


def survey(migrations: list[Migration], first: int, server: Database, job: str) -> None:
    without, back, sample = (f"{job}_{word}" for word in ("without", "back", "sample"))
    for name in (job, without, sample):
        server.execute(f"create database {name}")
    print(ROW("migration", "shape", "activated", "backfilled", "change log", "errors", "health"))
    installed = climb(migrations, first, job, without)
    with closing(Platform(job)) as db, closing(Platform(without)) as bare, closing(Platform(sample)) as like:
        like.load_platform()
        if bare.cohorts:
            like.restructure()
        tables = "|".join(name for kind, name in like.catalog() if kind == "relation r")
        here, there = bare.objects(tables), like.objects(tables)
        for line in sorted(here ^ there):
            print(f"only in {'the platform' if line in here else 'tests/platform*.sql'}: {line}")
        outcomes = db.rows("select outcome from class_activation.revert(%s)", db.last_run().id)
    if outcomes != [("reverted",)]:
        sys.exit(f"the last run cannot be reverted: {outcomes}")
    server.execute(f"create database {back} template {job}")
    for migration in reversed(migrations):
        error, other = (run(database, migration.down) for database in (back, without))
        if error != other:
            sys.exit(f"{migration.file}, Down: {error or 'ok'}; without class activation: {other or 'ok'}")
        if error:
            print(f"{migration.name} cannot be undone, with or without class activation: {error}")
            break
        if migration.number > installed:
            check(f"{migration.name} down", back, without)
    if error := deploy("downgrade", "base", database=back):
        sys.exit(f"class activation cannot be uninstalled: {error}")
    with closing(Database(back)) as db, closing(Database(without)) as bare:
        if left := set(db.catalog().items()) ^ set(bare.catalog().items()):
            sys.exit(f"uninstalling class activation changes the platform: {sorted(left)}")
    print(f"Class activation works from migration {installed} to {migrations[-1].number}, and uninstalls.")


def main(folder: str = "", first: str = "", keep: str = "") -> None:
    """Check the migrations in FOLDER, from number FIRST on, and KEEP the databases until Enter is pressed."""
    if not folder or not first.isdigit():
        sys.exit("usage: make platform MIGRATIONS=PATH [FROM=NUMBER] [KEEP=1]")
    files = [*Path(folder).glob("[0-9]*_*.sql")] or sys.exit(f"{folder} has no goose files, 00001_name.sql")
    migrations = sorted(map(parse, files))
    for expected, migration in enumerate(migrations, 1):
        if migration.number != expected:
            sys.exit(f"{folder}: expected migration {expected}, found {migration.file.name}")
    job = f"platform_{uuid4().hex[:8]}"
    with closing(Database("postgres")) as server:
        try:
            survey(migrations, int(first), server, job)
        except (SystemExit, psycopg.Error) as failure:
            sys.exit(f"\n{failure}\nSee docs/administration.md, Before the platform's next release")
        finally:
            if keep:
                print(f"psql {url(job)}  # until you press Enter")
                sys.stdin.readline()
            for row in server.rows("select datname from pg_database where starts_with(datname, %s)", job):
                server.execute(f"drop database {row.datname} with (force)")


if __name__ == "__main__":
    main(*sys.argv[1:])
