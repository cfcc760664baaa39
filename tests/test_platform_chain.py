"""`make platform`, on a short chain of goose files with the sample platform."""

import re
from pathlib import Path

import psycopg
import pytest
from harness import ROOT, Database
from platform_chain import main

CONCURRENTLY = """
-- +goose NO TRANSACTION
create index concurrently idx_programs_name on programs (name); -- two statements; goose runs them one by one
create index concurrently idx_programs_archived_at
-- the second;
on programs (archived_at);
comment on column programs.name is 'not compared';
alter table programs drop column update_user_id;
alter table programs add column update_user_id integer;
-- +goose Down
drop index concurrently idx_programs_name;
drop index concurrently idx_programs_archived_at;
"""


def sample(file: str) -> str:
    """Return a file of the sample platform as one statement of goose."""
    return f"\n-- +goose StatementBegin\n{(ROOT / 'tests' / file).read_text()}-- +goose StatementEnd\n"


@pytest.fixture
def chain(tmp_path: Path) -> Path:
    """A folder with four migrations: one before the sample platform, its tables, two indexes, its cohorts."""
    drop = f"\n-- +goose Down{sample('drop_platform.sql')}"
    add(tmp_path, "\ncreate table menus (id integer);\n-- +goose Down\ndrop table menus;\n", "menus")
    add(tmp_path, sample("platform.sql") + drop, "platform")
    add(tmp_path, CONCURRENTLY, "programs")
    cohorts = f"{sample('platform_cohorts.sql')}-- +goose Down{sample('platform_one_tier.sql')}"
    add(tmp_path, cohorts, "cohorts")
    return tmp_path


def add(folder: Path, text: str, name: str = "last") -> Path:
    """Add the next migration to a folder."""
    file = folder / f"{len(list(folder.iterdir())) + 1:05}_{name}.sql"
    file.write_text(f"-- a header; which goose ignores\n-- +goose Up{text}")
    return file


def failure(folder: Path, first: str = "1") -> str:
    """Run the command, which must fail, and return the sentence at its end."""
    with pytest.raises(SystemExit) as error:
        main(str(folder), first)
    return str(error.value)


def table(output: str) -> list[tuple[str, ...]]:
    """Return migration and schema of each line that reports a check."""
    return re.findall(r"^(\S+(?: down)?) +(classes|cohorts) +1 +2 +1 +0  ok$", output, re.MULTILINE)


def test_a_working_chain_is_checked_up_and_down(chain: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(str(chain), "1")

    output = capfd.readouterr().out
    assert re.search(r"^00001_menus +not installed: .*facilities", output, re.MULTILINE)
    assert table(output) == [
        ("00002_platform", "classes"),
        ("00003_programs", "classes"),
        ("00004_cohorts", "cohorts"),
        ("00004_cohorts down", "classes"),
        ("00003_programs down", "classes"),
    ]
    assert "works from migration 2 to 4, and uninstalls" in output
    assert re.findall(r"^only in (.*?): (\S+ \S+ \S+)", output, re.MULTILINE) == [
        ("the platform", "relation i idx_programs_archived_at"),
        ("the platform", "relation i idx_programs_name"),
    ]


def test_a_new_column_that_needs_a_value_is_filled_in(chain: Path) -> None:
    add(
        chain,
        """
create type color as enum ('red');
create table locations (id serial primary key, name text not null unique, color color not null);
alter table programs add location_id integer not null references locations,
  add full_days boolean not null, add seen_at timestamptz not null, add settings jsonb not null;
alter table users add unique (username);
-- +goose Down
alter table users drop constraint users_username_key;
alter table programs drop location_id, drop full_days, drop seen_at, drop settings;
drop table locations;
drop type color;
""",
    )

    main(str(chain), "5")


def test_the_way_back_ends_at_a_down_that_fails(chain: Path, capfd: pytest.CaptureFixture[str]) -> None:
    add(chain, "\nselect 1;\n-- +goose Down\nselect 1 / 0;\n", "one_way")

    main(str(chain), "4")

    output = capfd.readouterr().out
    assert "00005_one_way cannot be undone, with or without class activation: division by zero" in output
    assert table(output) == [("00004_cohorts", "cohorts"), ("00005_one_way", "cohorts")]
    assert "works from migration 4 to 5, and uninstalls" in output


WITHOUT_THE_JOB = "1 / (to_regnamespace('class_activation') is null)::integer"
# a migration after the sample platform's, and the sentence at the end
FAILURES = {
    "renamed column": (
        "alter table facilities rename column timezone to time_zone;"
        "\n-- +goose Down\nalter table facilities rename column time_zone to timezone;",
        "{name}: class activation lacks column public.facilities.timezone",
    ),
    "run": (
        "alter table program_class_cohorts add check (update_user_id is null) not valid;",
        "{name}: the class is Scheduled after a run.*violates check constraint",
    ),
    "revert": (
        "create function stay_active() returns trigger language plpgsql as"
        " $$ begin raise 'once Active, always Active'; end $$;\n"
        "create trigger stay_active before update on program_class_cohorts"
        " for each row when (old.status = 'Active') execute function stay_active();",
        "once Active, always Active",
    ),
    "by itself": (
        "select 1;\nselect 1 / 0;",
        "{file} fails, with or without class activation: division by zero",
    ),
    "with the job": (
        f"select {WITHOUT_THE_JOB};",
        "{file} fails because of class activation: division by zero",
    ),
    "down with the job": (
        f"select 1;\n-- +goose Down\nselect {WITHOUT_THE_JOB};",
        "{file}, Down: division by zero; without class activation: ok",
    ),
    "left behind": (
        "select 1;\n-- +goose Down\ndo $$ begin if to_regnamespace('class_activation') is not null then"
        " create table left_behind (); end if; end $$;",
        "uninstalling class activation changes the platform.*left_behind",
    ),
}


@pytest.mark.parametrize(("text", "message"), FAILURES.values(), ids=FAILURES)
def test_a_failure_is_named_with_its_migration(chain: Path, text: str, message: str) -> None:
    file = add(chain, f"\n{text}\n")
    expected = message.format(name=file.stem, file=re.escape(str(file)))

    assert re.search(expected, failure(chain, "4"), re.DOTALL)


def test_a_chain_without_the_platform_is_refused(chain: Path) -> None:
    for file in sorted(chain.iterdir())[1:]:
        file.unlink()

    assert "class activation cannot be installed after any of these migrations" in failure(chain)


def test_the_databases_can_be_kept(
    chain: Path, server: Database, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    class Enter:
        def readline(self) -> None:
            """Look at the database before the key is pressed."""
            address = re.search(r"^psql (\S+)", capfd.readouterr().out, re.MULTILINE)[1]
            with psycopg.connect(address) as connection:
                seen.extend(connection.execute("select current_database(), class_activation.version()"))

    monkeypatch.setattr("sys.stdin", Enter())

    main(str(chain), "3", "1")

    ((name, _),) = seen
    assert not server.rows("select datname from pg_database where starts_with(datname, %s)", name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- +goose ENVSUB ON\n-- +goose Up\nselect 1;\n", "goose's directive ENVSUB ON is not supported"),
        ("select 1;\n", "no statement follows -- +goose Up"),
        ("-- +goose Up\n-- +goose Down\nselect 1;\n", "no statement follows -- +goose Up"),
    ],
)
def test_a_file_that_goose_reads_differently_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "00001_bad.sql"
    file.write_text(text)

    assert failure(tmp_path) == f"{file}: {message}"


def test_a_folder_without_a_chain_is_refused(chain: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert failure(nowhere) == f"{nowhere} has no goose files, 00001_name.sql"
    assert failure(chain, "x").startswith("usage: make platform MIGRATIONS=PATH")
    (chain / "00003_programs.sql").unlink()
    assert failure(chain) == f"{chain}: expected migration 3, found 00004_cohorts.sql"
    (chain / "00002_again.sql").write_text("-- +goose Up\nselect 1;\n")
    assert failure(chain) == f"{chain}: expected migration 3, found 00002_platform.sql"
