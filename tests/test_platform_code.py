"""The platform runs its own code inside the writes: what it refuses, keeps or swallows, and as which role."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from harness import BATCH_USER, COMMAND, OFF, Database, deploy, own_platform

AS_OF = "2026-03-02 12:00Z"
RUN = f"select * from class_activation.activate_scheduled_classes('{AS_OF}')"

# A trigger function that does {body}; {bad} is the class that it is about.
CLASS_TRIGGER = """
    create function public.meddle() returns trigger language plpgsql as $$ begin {body} return new; end $$;
    create {kind} meddle {when} update on {classes} {timing}
      for each row when (old.id = {bad} and old.status = 'Scheduled') execute function public.meddle();
"""
ENROLLMENT_TRIGGER = """
    create function public.meddle() returns trigger language plpgsql as $$ begin {body} return new; end $$;
    create {kind} meddle {when} update on public.program_class_enrollments {timing}
      for each row when (old.{key} = {bad} and old.enrolled_at is null) execute function public.meddle();
"""


def meddle(template: str, body: str, kind: str = "trigger", when: str = "before", timing: str = "") -> str:
    """Return a trigger of TEMPLATE, with {bad} still to be filled in."""
    return template.format(
        body=body, kind=kind, when=when, timing=timing, bad="{bad}", classes="{classes}", key="{key}"
    )


def fill(db: Database, code: str, bad: int) -> str:
    """Return CODE about the class BAD, with the names that the platform has in this database."""
    return code.format(bad=bad, classes=db.classes, key=db.class_key)


DEFERRED = {"kind": "constraint trigger", "when": "after", "timing": "initially deferred"}
STATUS_BACK = "update {classes} set status = 'Scheduled' where id = new.id;"
DATE_BACK = "update public.program_class_enrollments set enrolled_at = null where id = new.id;"

# each leaves a row of one class as it was, and PostgreSQL reports no error
KEPT = {
    "a trigger keeps the status": meddle(CLASS_TRIGGER, "new.status := old.status;"),
    "a trigger nulls the status": meddle(CLASS_TRIGGER, "new.status := null;"),
    "a trigger makes it another status": meddle(CLASS_TRIGGER, "new.status := 'Paused';"),
    "a trigger returns null": meddle(CLASS_TRIGGER, "return null;"),
    "an after trigger puts the status back": meddle(CLASS_TRIGGER, STATUS_BACK, when="after"),
    "a deferred trigger puts the status back": meddle(CLASS_TRIGGER, STATUS_BACK, **DEFERRED),
    "a rule does nothing instead": (
        "create rule meddle as on update to {classes} where old.id = {bad} do instead nothing"
    ),
    "a trigger keeps the date": meddle(ENROLLMENT_TRIGGER, "new.enrolled_at := old.enrolled_at;"),
    "a trigger keeps the whole enrollment": meddle(ENROLLMENT_TRIGGER, "return old;"),
    "a trigger keeps one of two dates": meddle(
        ENROLLMENT_TRIGGER, "if new.id % 2 = 0 then new.enrolled_at := null; end if;"
    ),
    "a trigger swallows the enrollment": meddle(ENROLLMENT_TRIGGER, "return null;"),
    "a trigger swallows one of two": meddle(
        ENROLLMENT_TRIGGER, "if new.id % 2 = 0 then return null; end if;"
    ),
    "an after trigger takes the date back": meddle(ENROLLMENT_TRIGGER, DATE_BACK, when="after"),
    "a deferred trigger takes the date back": meddle(ENROLLMENT_TRIGGER, DATE_BACK, **DEFERRED),
    "a rule does nothing with the enrollments": (
        "create rule meddle as on update to public.program_class_enrollments where old.{key} = {bad}"
        " do instead nothing"
    ),
    "a statement trigger takes the dates back": """
        create function public.meddle() returns trigger language plpgsql as $$
        begin
          update public.program_class_enrollments set enrolled_at = null
          where {key} = {bad} and enrolled_at is not null;
          return null;
        end $$;
        create trigger meddle after update on public.program_class_enrollments
          for each statement when (pg_trigger_depth() = 0) execute function public.meddle();
    """,
}


@pytest.mark.parametrize("keeper", KEPT.values(), ids=KEPT)
def test_a_row_that_stays_as_it_was_is_a_problem_of_its_class_and_all_others_go_on(
    db: Database, keeper: str
) -> None:
    facility = db.facility()
    good, bad, last = (db.class_(facility) for _ in range(3))
    enrollments = {class_id: [db.enrollment(class_id) for _ in range(2)] for class_id in (good, bad, last)}
    db.execute(fill(db, keeper, bad))
    before = db.value("select c::text from {classes} c where id = %s", bad)

    for attempt in (1, 2):
        activated = [row.class_id for row in db.run(AS_OF)]

        assert activated == ([good, last] if attempt == 1 else [])
        assert db.row("select class_id, sqlstate, attempts from class_activation.problems") == (
            bad,
            "55000",
            attempt,
        )
        assert (db.last_run().classes_failed, db.last_run().classes_skipped) == (1, 0)
        # nothing of it is written
        assert db.value("select c::text from {classes} c where id = %s", bad) == before
        assert [db.enrolled_at(enrollment) for enrollment in enrollments[bad]] == [None, None]
        for log in ("program_classes_history", "change_log_entries"):
            assert db.value(f"select count(*) from public.{log} where parent_ref_id = %s", bad) == 0
    assert None not in [db.enrolled_at(enrollment) for enrollment in enrollments[good] + enrollments[last]]
    assert db.value("select status from class_activation.health()") != "ok"

    for table in (db.label, "program_class_enrollments"):
        db.execute(f"drop rule if exists meddle on public.{table}")
        db.execute(f"drop trigger if exists meddle on public.{table}")
    assert [row.class_id for row in db.run(AS_OF)] == [bad]
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize("keeper", ["new.status := old.status;", "new.status := null;", "return null;"])
def test_a_trigger_that_keeps_every_status_leaves_all_as_it_was(db: Database, keeper: str) -> None:
    facility = db.facility()
    classes = [db.class_(facility) for _ in range(5)]
    enrollments = [db.enrollment(class_id) for class_id in classes]
    db.execute(
        "create function public.meddle() returns trigger language plpgsql as"
        f" $$ begin {keeper} return new; end $$;"
        "create trigger meddle before update on {classes}"
        " for each row execute function public.meddle()"
    )

    for _ in range(2):
        assert db.run(AS_OF) == []
    assert {db.status(class_id) for class_id in classes} == {"Scheduled"}
    assert {db.enrolled_at(enrollment) for enrollment in enrollments} == {None}
    assert db.value("select count(*) from class_activation.problems") == 5
    assert db.rows("select * from class_activation.activations") == []
    assert (db.last_run().classes_activated, db.last_run().enrollments_backfilled) == (0, 0)


LATE_KEPT = {name: keeper for name, keeper in KEPT.items() if "program_class_enrollments" in keeper}


@pytest.mark.parametrize("keeper", LATE_KEPT.values(), ids=LATE_KEPT)
def test_a_late_enrollment_that_stays_as_it_was_is_a_problem_too(db: Database, keeper: str) -> None:
    facility = db.facility()
    bad, good = db.class_(facility), db.class_(facility)
    db.run(AS_OF)
    db.execute(fill(db, keeper, bad))
    refused, late = [db.enrollment(bad) for _ in range(2)], db.enrollment(good)

    for attempt in (1, 2):
        db.run(AS_OF)
        assert [db.enrolled_at(enrollment) for enrollment in refused] == [None, None]
        assert db.row("select class_id, sqlstate, attempts from class_activation.problems") == (
            bad,
            "55000",
            attempt,
        )
        assert db.last_run().enrollments_backfilled == (1 if attempt == 1 else 0)
    assert db.enrolled_at(late) is not None
    assert db.rows("select class_id from class_activation.activations where enrollment_ids <> '{}'") == [
        (good,)
    ]


# what the platform may do with an enrollment beside, and how many of the two the run has dated in the end
CHANGED_BY_THE_PLATFORM = {
    "the second is put on a waiting list": (
        meddle(
            ENROLLMENT_TRIGGER,
            "if new.id % 2 = 0 then new.enrollment_status := 'Waitlisted'; new.enrolled_at := null; end if;",
        ),
        1,
    ),
    "the second is deleted": (
        meddle(
            ENROLLMENT_TRIGGER,
            "if new.id % 2 = 0 then new.deleted_at := now(); new.enrolled_at := null; end if;",
        ),
        1,
    ),
    # as the hook of the application does for its bulk action
    "the start of the class dates its enrollments": (
        meddle(
            CLASS_TRIGGER,
            "update public.program_class_enrollments set enrolled_at = now() where {key} = new.id;",
            when="after",
        ),
        0,
    ),
    "the start of the class dates the second": (
        meddle(
            CLASS_TRIGGER,
            "update public.program_class_enrollments set enrolled_at = now()"
            " where {key} = new.id and id % 2 = 0;",
            when="after",
        ),
        1,
    ),
    "the start of the class enrolls one more": (
        meddle(
            CLASS_TRIGGER,
            "insert into public.program_class_enrollments"
            " select (jsonb_populate_record(x, jsonb_build_object('id', 3, 'user_id', 99999))).*"
            " from public.program_class_enrollments x where x.{key} = new.id limit 1;",
            when="after",
        ),
        3,
    ),
    "the hour is rounded": (
        meddle(ENROLLMENT_TRIGGER, "new.enrolled_at := date_trunc('day', new.enrolled_at);"),
        2,
    ),
}


@pytest.mark.parametrize(("code", "dated"), CHANGED_BY_THE_PLATFORM.values(), ids=CHANGED_BY_THE_PLATFORM)
def test_a_run_counts_the_enrollments_that_it_has_dated_and_no_others(
    db: Database, code: str, dated: int
) -> None:
    class_id = db.class_()
    for number in (1, 2):
        db.enrollment(class_id, id=number)
    db.execute(fill(db, code, class_id))

    assert [(row.class_id, row.enrollments_backfilled) for row in db.run(AS_OF)] == [(class_id, dated)]

    assert db.status(class_id) == "Active"
    assert db.rows("select * from class_activation.problems") == []
    run = db.last_run()
    assert (run.enrollments_backfilled, run.classes_skipped) == (dated, 0)
    recorded = db.row("select enrollment_ids, enrollments_backfilled from class_activation.activations")
    assert len(recorded.enrollment_ids) == recorded.enrollments_backfilled == dated
    assert db.value(
        "select bool_and(enrolled_at is not null) from public.program_class_enrollments where id = any (%s)",
        recorded.enrollment_ids,
    ) in (True, None)
    assert (
        db.value(
            "select count(*) from public.program_class_enrollments where enrollment_status = 'Enrolled'"
            " and enrolled_at is null and deleted_at is null"
        )
        == 0
    )
    assert db.run(AS_OF) == []


def test_a_rule_that_also_writes_an_audit_log_changes_no_count(db: Database) -> None:
    db.execute(
        "create table public.audit_log (what text, id integer);"
        "create rule also_class as on update to {classes}"
        " do also insert into public.audit_log select 'class', g from generate_series(1, 7) g;"
        "create rule also_enrollment as on update to public.program_class_enrollments"
        " do also insert into public.audit_log values ('enrollment', old.id), ('again', old.id);"
    )
    class_id = db.class_()
    enrollments = [db.enrollment(class_id) for _ in range(3)]

    (row,) = db.run(AS_OF)

    assert (row.class_id, row.enrollments_backfilled) == (class_id, 3)
    assert None not in [db.enrolled_at(enrollment) for enrollment in enrollments]
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_statement_trigger_that_refuses_one_class_stops_no_other(db: Database, when: str) -> None:
    facility = db.facility()
    classes = [db.class_(facility, capacity=10) for _ in range(9)]
    bad = classes[4]
    db.execute(f"update {db.classes} set capacity = 0 where id = {bad}")
    transition = "referencing new table as changed" if when == "after" else ""
    look = "changed where capacity = 0" if when == "after" else f"{db.classes} where false"
    db.execute(
        f"""
        create function public.refuse() returns trigger language plpgsql as $$
        begin
          if exists (select from {look}) then raise exception 'no room'; end if;
          return null;
        end $$;
        create trigger refuse {when} update on {db.classes} {transition}
          for each statement execute function public.refuse();
        """
    )

    failed = {bad} if when == "after" else set()
    assert {row.class_id for row in db.run(AS_OF)} == set(classes) - failed
    assert {row.class_id for row in db.rows("select class_id from class_activation.problems")} == failed


# ---------------------------------------------------------------- row security


@pytest.fixture
def owned(platform: Database, role: str) -> Database:
    """The job, installed on a platform that a plain role owns; its own session is a superuser's."""
    own_platform(platform, role)
    deploy("upgrade", "head", database=platform.name, x=OFF)
    return platform


@pytest.fixture
def owner(owned: Database, role: str) -> psycopg.Connection:
    """A session of the role that owns the platform and the job."""
    return owned.connect(user=role, password="secret")


HIDING = {
    "forced on the classes": (
        "classes",
        "alter table {classes} enable row level security, force row level security",
    ),
    "forced on the enrollments": (
        "program_class_enrollments",
        "alter table public.program_class_enrollments enable row level security, force row level security",
    ),
    "forced with a policy that shows all": (
        "classes",
        "alter table {classes} enable row level security, force row level security;"
        "create policy all_rows on {classes} using (true)",
    ),
    "on facilities of another owner": (
        "facilities",
        "alter table public.facilities owner to current_user; grant select on public.facilities to {role};"
        "alter table public.facilities enable row level security",
    ),
    "on users of another owner": (
        "users",
        "alter table public.users owner to current_user; grant select, references on public.users to {role};"
        "alter table public.users enable row level security",
    ),
}


@pytest.mark.parametrize(("table", "policy"), HIDING.values(), ids=HIDING)
def test_rows_that_row_security_hides_are_an_error_that_names_their_table(
    owned: Database, owner: psycopg.Connection, role: str, table: str, policy: str
) -> None:
    class_id = owned.class_()
    enrollment = owned.enrollment(class_id)
    owned.execute(policy.format(role=role, classes=owned.classes))
    table = owned.label if table == "classes" else table

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f'row-level security.*"{table}"'):
        owner.execute(RUN)

    assert (owned.status(class_id), owned.enrolled_at(enrollment)) == ("Scheduled", None)
    assert owned.rows("select * from class_activation.runs") == []
    if table in (owned.label, "facilities"):
        for question in ("preview()", "health()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f'"{table}"'):
                owner.execute(f"select class_activation.{question}")
    doctor = {
        row.check_name: row for row in owner.execute("select * from class_activation.doctor()").fetchall()
    }
    assert doctor["platform"].level == "error"
    assert f"public.{table}" in doctor["platform"].detail


def test_row_security_that_the_owner_bypasses_changes_nothing(
    owned: Database, owner: psycopg.Connection
) -> None:
    class_id = owned.class_()
    enrollment = owned.enrollment(class_id)
    for table in (owned.label, "program_class_enrollments", "facilities", "users"):
        owned.execute(f"alter table public.{table} enable row level security")

    assert [row.class_id for row in owner.execute(RUN).fetchall()] == [class_id]
    assert owned.enrolled_at(enrollment) is not None


def test_the_platforms_own_code_may_read_what_row_security_shows_it(
    owned: Database, owner: psycopg.Connection
) -> None:
    """With row_security off, a trigger that reads a table with forced policies would fail."""
    owner.execute(
        f"""
        create table public.tenants (name text);
        insert into public.tenants values ('shown'), ('hidden');
        alter table public.tenants enable row level security, force row level security;
        create policy shown on public.tenants for select using (name = 'shown');
        create function public.look() returns trigger language plpgsql as $$
        begin
          if (select count(*) from public.tenants) <> 1 then raise exception 'no policy'; end if;
          return new;
        end $$;
        create trigger look before update on {owned.classes}
          for each row execute function public.look();
        """
    )
    class_id = owned.class_()

    assert [row.class_id for row in owner.execute(RUN).fetchall()] == [class_id]


# ---------------------------------------------------------------- the search path

AUDIT = """
    create schema audit;
    grant usage, create on schema audit to {role};
    set role {role};
    create table audit.audit_log (path text, schemas name[], entry text);
    create function audit.note() returns trigger language plpgsql as $$
    begin
      insert into audit_log values (current_setting('search_path'), current_schemas(false), tg_table_name);
      return new;
    end $$;
    create trigger note after update on {classes} for each row execute function audit.note();
    create trigger note after update on public.program_class_enrollments
      for each row execute function audit.note();
    reset role;
"""

# Where the path of the application is set; the trigger finds its table only there.
PATHS = {
    "of the role": ["alter role {role} set search_path = audit, public"],
    "of the database": ["alter database {database} set search_path = audit, public"],
    "of the role in the database": [
        "alter role {role} in database {database} set search_path = audit, public"
    ],
    "of every role in the database": [
        "alter role all in database {database} set search_path = audit, public"
    ],
    "the role before the database": [
        "alter database {database} set search_path = public",
        "alter role {role} set search_path = audit, public",
    ],
    "the role in the database before the role": [
        "alter role {role} set search_path = public",
        "alter database {database} set search_path = public",
        "alter role {role} in database {database} set search_path = public, audit",
    ],
    "beside other settings": [
        "alter role {role} set work_mem = '8MB'",
        "alter role {role} set application_name = 'search_path=public'",
        "alter role {role} set search_path = audit",
        "alter role {role} set statement_timeout = '1min'",
    ],
    "quoted names and names that are not there": [
        'alter role {role} set search_path = "no such, schema", "$user", AUDIT, "Public"'
    ],
    "one quoted string": ["alter role {role} set search_path = 'audit'"],
    "temporary objects first": ["alter role {role} set search_path = pg_temp, audit, public"],
    "temporary objects in the middle": ["alter role {role} set search_path = public, pg_temp, audit"],
    "temporary objects last": ["alter role {role} set search_path = audit, pg_temp"],
    "temporary objects quoted": ['alter role {role} set search_path = "pg_temp", "audit"'],
    "temporary objects twice": ["alter role {role} set search_path = pg_temp, pg_temp, audit, pg_temp"],
    "a schema whose name only ends in pg_temp": [
        "create schema my_pg_temp",
        "grant usage on schema my_pg_temp to {role}",
        "alter role {role} set search_path = my_pg_temp, audit",
    ],
    "pg_catalog last": ["alter role {role} set search_path = audit, public, pg_catalog"],
    "an empty path": ["alter role {role} set search_path = ''"],
    "temporary objects alone": ["alter role {role} set search_path = pg_temp"],
    "none": [],
}


@pytest.mark.parametrize("settings", PATHS.values(), ids=PATHS)
def test_the_platforms_triggers_meet_the_search_path_of_a_new_session_of_the_owner(
    owned: Database, role: str, settings: list[str]
) -> None:
    owned.execute(AUDIT.format(role=role, classes=owned.classes))
    for setting in settings:
        owned.execute(setting.format(role=role, database=owned.name))
    application = owned.connect(user=role, password="secret")
    # but temporary objects are never first
    (schemas,) = application.execute("select current_schemas(false)").fetchone()
    # where the application's own write fails, so does the job's, as a problem of the class
    (found,) = application.execute("select to_regclass('audit_log') is not null").fetchone()
    application.close()
    superuser = owned.connect()
    superuser.execute("set search_path = pg_temp, public")

    for session in (owned.connect(user=role, password="secret"), superuser):
        class_id = owned.class_()
        enrollment = owned.enrollment(class_id)

        activated = {row.class_id for row in session.execute(RUN).fetchall()}

        problems = owned.rows("select sqlstate from class_activation.problems where class_id = %s", class_id)
        if not found:
            assert (activated, problems) == (set(), [("42P01",)])
            continue
        assert (activated, problems) == ({class_id}, [])
        assert owned.enrolled_at(enrollment) is not None
        # and the writes of revert
        (row,) = session.execute(f"select * from class_activation.revert({owned.last_run().id})").fetchall()
        assert (row.outcome, row.enrollments_reverted) == ("reverted", 1)
    seen = owned.rows("select distinct schemas from audit.audit_log")
    assert seen == [([name for name in schemas if not name.startswith("pg_temp")],)] * found


def test_a_path_for_every_role_of_the_cluster_counts_too(owned: Database, role: str) -> None:
    owned.execute(AUDIT.format(role=role, classes=owned.classes))
    class_id = owned.class_()
    with owned.connection.transaction(force_rollback=True):  # other tests are not to meet it
        owned.execute("alter role all set search_path = audit, public")
        assert [row.class_id for row in owned.run(AS_OF)] == [class_id]


# unqualified names of the platform's schema, in each place where the platform may have code
UNQUALIFIED = {
    "a check constraint": "alter table {classes} add check (allowed(status::text))",
    "a trigger's condition": (
        "create trigger t before update on {classes} for each row"
        " when (allowed(new.status::text)) execute function public.pass()"
    ),
    "a function that a trigger calls": (
        "create function public.call() returns trigger language plpgsql as"
        " 'begin if not allowed(new.status::text) then raise ''refused''; end if; return new; end';"
        "create trigger t before update on {classes} for each row execute function public.call()"
    ),
    "a generated column": (
        "alter table {classes} add note boolean generated always as (allowed(capacity::text)) stored"
    ),
    "an index expression": "create index on {classes} (allowed(capacity::text), start_dt)",
    "a rule": (
        "create rule r as on update to {classes} do also"
        " insert into audit_log select old.id where allowed(new.status::text)"
    ),
    "a deferred trigger": (
        "create function public.call() returns trigger language plpgsql as"
        " 'begin insert into audit_log values (new.id); return null; end';"
        "create constraint trigger t after update on {classes} initially deferred"
        " for each row execute function public.call()"
    ),
    "a statement trigger": (
        "create function public.call() returns trigger language plpgsql as"
        " 'begin insert into audit_log select 1 where allowed(''x''); return null; end';"
        "create trigger t after update on {classes} execute function public.call()"
    ),
    "a trigger on the change log": (
        "create function public.call() returns trigger language plpgsql as"
        " 'begin insert into audit_log values (new.parent_ref_id); return new; end';"
        "create trigger t before insert on public.change_log_entries"
        " for each row execute function public.call()"
    ),
    "a trigger on the enrollments": (
        "create function public.call() returns trigger language plpgsql as"
        " 'begin insert into audit_log values (new.id); return new; end';"
        "create trigger t before update on public.program_class_enrollments"
        " for each row execute function public.call()"
    ),
    "a temporary table of its own": (
        "create function public.call() returns trigger language plpgsql as"
        " 'begin create temporary table if not exists scratch (a int); insert into scratch values (1);"
        " return new; end';"
        "create trigger t before update on {classes} for each row execute function public.call()"
    ),
}


@pytest.mark.parametrize("code", UNQUALIFIED.values(), ids=UNQUALIFIED)
def test_unqualified_names_work_as_when_the_application_writes(db: Database, code: str) -> None:
    db.execute(
        """
        create table public.known_words (word text);
        create table public.audit_log (id integer);
        create function public.allowed(text) returns boolean language plpgsql immutable as
          'begin return (select count(*) >= 0 from known_words); end';
        create function public.pass() returns trigger language plpgsql as 'begin return new; end';
        """
    )
    # before the rows: from PostgreSQL 17 on, an index on an expression is built with a path of its own
    db.execute(code)
    class_id = db.class_()
    enrollment = db.enrollment(class_id)

    assert [row.class_id for row in db.run(AS_OF)] == [class_id]

    assert db.rows("select * from class_activation.problems") == []
    assert db.enrolled_at(enrollment) is not None
    assert db.value("select count(*) from class_activation.preview()") == 0


def test_temporary_objects_of_the_caller_are_not_what_the_platforms_code_finds(
    owned: Database, role: str
) -> None:
    owned.execute(
        f"""
        set role {role};
        create table public.audit_log (id integer);
        create function public.allowed() returns boolean language sql as 'select true';
        create function public.call() returns trigger language plpgsql as
          'begin insert into audit_log select new.id where allowed(); return new; end';
        create trigger t before update on {owned.classes}
          for each row execute function public.call();
        reset role;
        """
    )
    class_id = owned.class_()
    owned.execute(
        """
        create temporary table audit_log (id integer);
        create temporary table program_classes (id integer);
        create function pg_temp.allowed() returns boolean language sql as 'select false';
        """
    )

    assert [row.class_id for row in owned.run(AS_OF)] == [class_id]
    assert owned.rows("select * from public.audit_log") == [(class_id,)]


def test_what_is_planted_before_pg_catalog_in_the_applications_path_captures_nothing_of_the_job(
    db: Database,
) -> None:
    captured = "language plpgsql as $$ begin raise 'captured'; end $$"
    db.execute("create schema planted")
    for signature in (
        "now() returns timestamptz",
        "num_nulls(timestamptz, timestamptz) returns integer",
        "unnest(integer[]) returns setof integer",
        "set_config(text, text, boolean) returns text",
        '"varchar"(varchar, integer, boolean) returns varchar',
    ):
        db.execute(f"create function planted.{signature} {captured}")
    for name, operator, left, right in (
        ("a", "=", "integer", "integer"),
        ("b", "=", "varchar", "varchar"),
        ("c", "=", "text", "text"),
        ("d", "=", "public.class_status", "public.class_status"),
        ("e", "=", "integer", "integer[]"),
    ):
        db.execute(
            f"create function planted.{name}({left}, {right}) returns boolean {captured};"
            f"create operator planted.{operator} (function = planted.{name}, leftarg = {left},"
            f" rightarg = {right})"
        )
    for table in (db.label, "program_class_enrollments", "change_log_entries", "pg_class"):
        db.execute(f"create table planted.{table} ()")
    class_id = db.class_()
    db.enrollment(class_id)
    # the platform's own trigger on the classes would be captured, as when the application writes
    db.execute("alter table {classes} disable trigger user")
    db.execute(f"alter database {db.name} set search_path = planted, pg_catalog, public")

    assert [(row.class_id, row.enrollments_backfilled) for row in db.run(AS_OF)] == [(class_id, 1)]
    assert db.rows("select outcome from class_activation.revert(1)") == [("reverted",)]


def test_the_callers_search_path_is_as_before(db: Database) -> None:
    db.enrollment(db.class_())
    db.execute("set search_path = pg_temp, public, class_activation")
    db.run(AS_OF)
    db.execute("select class_activation.revert(1)")
    assert db.value("show search_path") == "pg_temp, public, class_activation"
    assert db.value("show row_security") == "on"


# ---------------------------------------------------------------- deferred constraints and triggers

AUDITED = """
    create table public.auditors (id integer primary key);
    create table {schema}.audit_log (class_id integer, auditor_id integer {constraint});
    create function public.audit() returns trigger language plpgsql security definer as $$
    begin
      insert into {schema}.audit_log values (new.id, case when new.capacity = 0 then 1 end);
      insert into {schema}.audit_log values (new.id, case when new.capacity = 0 then 1 end);
      return new;
    end $$;
    create trigger audit after update on {classes} for each row execute function public.audit();
"""
FOREIGN_KEY = "references public.auditors (id) deferrable initially {initially}"


def audited(db: Database) -> str:
    """Return the statements that audit the classes of this database with a deferred foreign key."""
    constraint = FOREIGN_KEY.format(initially="deferred")
    return AUDITED.format(schema="public", constraint=constraint, classes=db.classes)


DEFERRED_CONSTRAINTS = {
    "a foreign key of an audit table": ("public", FOREIGN_KEY.format(initially="deferred")),
    "a foreign key of an audit table in another schema": ("audit", FOREIGN_KEY.format(initially="deferred")),
    "a foreign key that the caller has deferred": ("public", FOREIGN_KEY.format(initially="immediate")),
    "a unique constraint": ("public", "unique deferrable initially deferred"),
    "an exclusion constraint": ("public", ", exclude (auditor_id with =) deferrable initially deferred"),
}


@pytest.mark.parametrize("schema_and_constraint", DEFERRED_CONSTRAINTS.values(), ids=DEFERRED_CONSTRAINTS)
def test_a_deferred_constraint_of_a_table_that_a_trigger_writes_stops_only_its_class(
    db: Database, schema_and_constraint: tuple[str, str]
) -> None:
    schema, constraint = schema_and_constraint
    db.execute("create schema audit")
    db.execute(AUDITED.format(schema=schema, constraint=constraint, classes=db.classes))
    facility = db.facility()
    good, bad, last = (db.class_(facility, capacity=capacity) for capacity in (5, 0, 5))

    session = db.connect(autocommit=False)
    session.execute("set constraints all deferred")
    activated = [row.class_id for row in session.execute(RUN).fetchall()]
    session.commit()

    assert activated == [good, last]
    assert db.status(bad) == "Scheduled"
    problem = db.row("select class_id, sqlstate from class_activation.problems")
    assert problem.class_id == bad
    assert problem.sqlstate.startswith("23")


@pytest.mark.parametrize(
    "twin",
    [
        # a name that is unique in its table only, as PostgreSQL allows
        "create table public.other (auditor_id integer,"
        " constraint audit_log_auditor_id_fkey foreign key (auditor_id) references public.auditors (id))",
        "create table public.other (auditor_id integer constraint audit_log_auditor_id_fkey check (true))",
        "create schema elsewhere; create table elsewhere.other (auditor_id integer,"
        " constraint audit_log_auditor_id_fkey foreign key (auditor_id) references public.auditors (id))",
        'create table public."Odd; Name" (auditor_id integer, constraint "a ""b"", c"'
        " foreign key (auditor_id)"
        " references public.auditors (id) deferrable initially deferred)",
    ],
    ids=["not deferrable", "a check", "another schema", "quoted"],
)
def test_a_constraint_of_the_same_name_on_another_table_changes_nothing(db: Database, twin: str) -> None:
    db.execute(audited(db))
    db.execute(twin)
    good, bad = db.class_(capacity=5), db.class_(capacity=0)

    assert [row.class_id for row in db.run(AS_OF)] == [good]
    assert db.row("select class_id, sqlstate from class_activation.problems") == (bad, "23503")


def test_a_deferred_constraint_of_a_table_of_another_owner_stops_only_its_class(
    owned: Database, owner: psycopg.Connection
) -> None:
    """An extension's audit table is the superuser's; the platform's trigger writes it."""
    owned.execute(audited(owned))
    good, bad = owned.class_(capacity=5), owned.class_(capacity=0)

    assert [row.class_id for row in owner.execute(RUN).fetchall()] == [good]
    assert owned.row("select class_id, sqlstate from class_activation.problems") == (bad, "23503")


def test_afterwards_deferred_constraints_are_deferred_again(db: Database) -> None:
    db.execute(audited(db))
    db.class_()
    session = db.connect(autocommit=False)
    session.execute(RUN)
    session.execute("insert into public.audit_log values (1, 7)")
    session.execute("insert into public.auditors values (7)")
    session.commit()


# ---------------------------------------------------------------- the caller's own deferred code


@pytest.fixture
def caller(owned: Database, role: str, server: Database) -> Iterator[psycopg.Connection]:
    """A session in a transaction, of a role that has EXECUTE on the job and on revert and nothing else."""
    name = f"{role}_caller"
    server.execute(f"create role {name} login password 'secret'")
    owned.execute(
        "grant execute on function public.activate_scheduled_classes,"
        f" class_activation.activate_scheduled_classes, class_activation.revert to {name}"
    )
    session = owned.connect(user=name, password="secret", autocommit=False)
    yield session
    session.close()
    owned.execute(f"drop owned by {name}")
    server.execute(f"drop role {name}")


SPY = """
    create {temporary} table {schema}.bait (a integer);
    create {temporary} table {schema}.seen (who name);
    grant all on {schema}.seen to public;
    create function {schema}.spy() returns trigger language plpgsql as
      $$ begin insert into {schema}.seen values (current_user); return null; end $$;
    create constraint trigger {name} after insert on {schema}.bait initially deferred
      for each row execute function {schema}.spy();
    insert into {schema}.bait values (1);
"""


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("pg_temp", "spy"),
        # the names of a deferred constraint and of a trigger of the platform
        ("pg_temp", "audit_log_auditor_id_fkey"),
        ("pg_temp", "audit"),
        ("public", "spy"),
        ("public", "audit_log_auditor_id_fkey"),
    ],
)
def test_a_deferred_trigger_of_the_caller_never_runs_with_the_owners_rights(
    owned: Database, owner: psycopg.Connection, caller: psycopg.Connection, schema: str, name: str
) -> None:
    owner.execute(audited(owned))
    class_id, role = owned.class_(), caller.info.user
    if schema == "public":
        owned.execute(f"grant create on schema public to {role}")
    spy = SPY.format(temporary="temporary" if schema == "pg_temp" else "", schema=schema, name=name)

    def call(sql: str) -> None:
        caller.execute(spy)
        assert [row.class_id for row in caller.execute(sql).fetchall()] == [class_id]
        caller.execute("set constraints all immediate")
        assert caller.execute(f"select who from {schema}.seen").fetchall() == [(role,)], sql
        caller.rollback()

    call(RUN)
    call(RUN.replace("class_activation.", "public."))
    owned.run(AS_OF)
    call(f"select * from class_activation.revert({owned.last_run().id})")


# the signature of the job, shorter, longer and other ones that fit the call of pg_cron as well or better
OVERLOADS = [
    "()",
    "(p_not_before text)",
    "(p_not_before time)",
    "(p_not_before anyelement)",
    "(p_as_of timestamptz)",
    "(p_as_of timestamptz, p_not_before time)",
    "(p_as_of timestamptz, p_not_before time, p_max_classes integer, p_more text default '')",
    "(p_not_before time, p_as_of timestamptz default now(), p_max_classes integer default null)",
    "(p_not_before text default '', p_as_of text default '', p_max_classes text default '')",
    "(variadic p_not_before text[])",
]


def test_what_is_planted_in_public_does_not_disturb_the_command_of_pg_cron(
    owned: Database, owner: psycopg.Connection, caller: psycopg.Connection
) -> None:
    owned.execute(f"grant create on schema public to {caller.info.user}")
    owner.execute("set search_path = public, class_activation")
    # the job's own signature is free once the function for DBAs has been dropped
    owned.execute("drop function public.activate_scheduled_classes(timestamptz, time, integer)")

    for signature in [*OVERLOADS, "(p_as_of timestamptz, p_not_before time, p_max_classes integer)"]:
        planted = f"public.activate_scheduled_classes{signature}"
        caller.execute(
            f"create function {planted} returns integer language plpgsql as $$ begin raise 'captured'; end $$"
        )
        caller.commit()
        class_id = owned.class_()

        owner.execute(COMMAND)

        assert owned.status(class_id) == "Active", signature
        caller.execute("drop function public.activate_scheduled_classes")
        caller.commit()


def test_the_writes_are_in_the_name_of_the_batch_user(db: Database) -> None:
    enrollment = db.enrollment(db.class_())
    db.run(AS_OF)
    author: Any = db.value(
        "select update_user_id from public.program_class_enrollments where id = %s", enrollment
    )
    assert author == BATCH_USER


def test_a_trigger_that_dates_the_enrollment_itself_is_no_failure(db: Database) -> None:
    class_id = db.class_()
    enrollment = db.enrollment(class_id)
    nested = (
        "if pg_trigger_depth() > 1 then return new; end if;"
        " update public.program_class_enrollments set enrolled_at = new.enrolled_at where id = new.id;"
        " return null;"
    )
    db.execute(fill(db, meddle(ENROLLMENT_TRIGGER, nested), class_id))

    assert [row.class_id for row in db.run(AS_OF)] == [class_id]
    assert db.enrolled_at(enrollment) is not None
    assert db.run(AS_OF) == []


# none of them changes what is written, but the job cannot know
HARMLESS = {
    "a trigger": meddle(ENROLLMENT_TRIGGER, "perform 1;"),
    "a rule": "create rule meddle as on update to public.program_class_enrollments do also select 1",
    "a policy": "alter table public.program_class_enrollments enable row level security",
    "a deferrable constraint": "alter table {classes} add constraint meddle unique (id) deferrable",
}


@pytest.mark.parametrize("code", HARMLESS.values(), ids=HARMLESS)
def test_with_code_on_enrollments_the_same_is_written_and_remembered(db: Database, code: str) -> None:
    def activate() -> Any:
        class_id = db.class_()
        enrollments = [db.enrollment(class_id) for _ in range(2)]
        assert [row.enrollments_backfilled for row in db.run(AS_OF)] == [2]
        # what a run remembers, relative to the class
        remembered = db.row("select * from class_activation.activations where class_id = %s", class_id)
        assert remembered.enrollment_ids == enrollments
        assert remembered.updated_at_values == [remembered.activated_at]
        return remembered.enrolled_at_values, remembered.update_user_ids

    without = activate()
    db.execute(fill(db, code, 0))
    assert activate() == without
