"""Code of the platform that runs inside the writes: triggers, rules, policies and deferred constraints."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from harness import COMMAND, OFF, Database, deploy, open_transaction, own_platform

AS_OF = "2026-03-02 12:00Z"
RUN = f"select * from class_activation.activate_scheduled_classes('{AS_OF}')"

# triggers that do {body} for the class {bad}
CLASS_TRIGGER = """
    create function public.meddle() returns trigger language plpgsql as $$ begin {body} return new; end $$;
    create {kind} meddle {when} update on public.program_classes {timing}
      for each row when (old.id = {bad} and old.status = 'Scheduled') execute function public.meddle();
"""
ENROLLMENT_TRIGGER = """
    create function public.meddle() returns trigger language plpgsql as $$ begin {body} return new; end $$;
    create {kind} meddle {when} update on public.program_class_enrollments {timing}
      for each row when (old.class_id = {bad} and old.enrolled_at is null) execute function public.meddle();
"""


def meddle(template: str, body: str, kind: str = "trigger", when: str = "before", timing: str = "") -> str:
    """Return a trigger of TEMPLATE, with {bad} still to be filled in."""
    return template.format(body=body, kind=kind, when=when, timing=timing, bad="{bad}")


DEFERRED = {"kind": "constraint trigger", "when": "after", "timing": "initially deferred"}
STATUS_BACK = "update public.program_classes set status = 'Scheduled' where id = new.id;"
ENROLLED_AT_BACK = "update public.program_class_enrollments set enrolled_at = null where id = new.id;"
OF_CLASS = "update public.program_class_enrollments set enrolled_at = now() where class_id = new.id"

# each leaves a row of one class unchanged, and PostgreSQL reports no error
SUPPRESSED_STATUS = {
    "keep": meddle(CLASS_TRIGGER, "new.status := old.status;"),
    "null": meddle(CLASS_TRIGGER, "new.status := null;"),
    "return null": meddle(CLASS_TRIGGER, "return null;"),
    "after": meddle(CLASS_TRIGGER, STATUS_BACK, when="after"),
    "deferred": meddle(CLASS_TRIGGER, STATUS_BACK, **DEFERRED),
    "rule": (
        "create rule meddle as on update to public.program_classes where old.id = {bad} do instead nothing"
    ),
}
SUPPRESSED_ENROLLED_AT = {
    "keep": meddle(ENROLLMENT_TRIGGER, "new.enrolled_at := old.enrolled_at;"),
    "null one of two": meddle(ENROLLMENT_TRIGGER, "if new.id % 2 = 0 then new.enrolled_at := null; end if;"),
    "return null for one of two": meddle(ENROLLMENT_TRIGGER, "if new.id % 2 = 0 then return null; end if;"),
    "after": meddle(ENROLLMENT_TRIGGER, ENROLLED_AT_BACK, when="after"),
    "deferred": meddle(ENROLLMENT_TRIGGER, ENROLLED_AT_BACK, **DEFERRED),
    "rule": (
        "create rule meddle as on update to public.program_class_enrollments where old.class_id = {bad}"
        " do instead nothing"
    ),
    "statement trigger": """
        create function public.meddle() returns trigger language plpgsql as $$
        begin
          update public.program_class_enrollments set enrolled_at = null
          where class_id = {bad} and enrolled_at is not null;
          return null;
        end $$;
        create trigger meddle after update on public.program_class_enrollments
          for each statement when (pg_trigger_depth() = 0) execute function public.meddle();
    """,
}


@pytest.mark.parametrize(
    "code",
    [*SUPPRESSED_STATUS.values(), *SUPPRESSED_ENROLLED_AT.values()],
    ids=[*(f"status: {name}" for name in SUPPRESSED_STATUS), *SUPPRESSED_ENROLLED_AT],
)
def test_a_suppressed_update_fails_only_its_class(db: Database, code: str) -> None:
    facility = db.facility()
    good, bad, last = (db.class_(facility) for _ in range(3))
    enrollments = {class_id: [db.enrollment(class_id) for _ in range(2)] for class_id in (good, bad, last)}
    db.execute(code.replace("{bad}", str(bad)))
    before = db.value("select c::text from public.program_classes c where id = %s", bad)

    for attempt in (1, 2):
        assert [row.class_id for row in db.run(AS_OF)] == ([good, last] if attempt == 1 else [])
        problem = db.row("select * from class_activation.problems")
        assert (problem.class_id, problem.sqlstate, problem.attempts) == (bad, "55000", attempt)
        assert "row security" in problem.message
        assert (db.last_run().classes_failed, db.last_run().classes_skipped) == (1, 0)
        # nothing of the class is written
        assert db.value("select c::text from public.program_classes c where id = %s", bad) == before
        assert [db.enrolled_at(enrollment) for enrollment in enrollments[bad]] == [None, None]
        for log in ("program_classes_history", "change_log_entries"):
            assert db.value(f"select count(*) from public.{log} where parent_ref_id = %s", bad) == 0
        assert db.rows("select * from class_activation.activations where class_id = %s", bad) == []
    assert None not in [db.enrolled_at(enrollment) for enrollment in enrollments[good] + enrollments[last]]
    assert db.health().status != "ok"

    for table in ("program_classes", "program_class_enrollments"):
        db.execute(f"drop rule if exists meddle on public.{table}")
        db.execute(f"drop trigger if exists meddle on public.{table}")
    assert [row.class_id for row in db.run(AS_OF)] == [bad]
    assert db.rows("select * from class_activation.problems") == []


@pytest.mark.parametrize("code", SUPPRESSED_ENROLLED_AT.values(), ids=SUPPRESSED_ENROLLED_AT)
def test_a_suppressed_late_enrollment_fails_only_its_class(db: Database, code: str) -> None:
    facility = db.facility()
    bad, good = db.class_(facility), db.class_(facility)
    db.run(AS_OF)
    db.execute(code.replace("{bad}", str(bad)))
    suppressed, late = [db.enrollment(bad) for _ in range(2)], db.enrollment(good)
    due = db.class_(facility)

    for attempt in (1, 2):
        assert [row.class_id for row in db.run(AS_OF)] == ([due] if attempt == 1 else [])
        assert [db.enrolled_at(enrollment) for enrollment in suppressed] == [None, None]
        problem = db.row("select class_id, sqlstate, attempts from class_activation.problems")
        assert problem == (bad, "55000", attempt)
        assert db.last_run().enrollments_backfilled == (1 if attempt == 1 else 0)
    assert db.enrolled_at(late) is not None
    backfilled = db.rows("select class_id from class_activation.activations where enrollment_ids <> '{}'")
    assert backfilled == [(good,)]


# what the platform does with the two enrollments of a class, and how many the run has backfilled in the end
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
    "a trigger on the class backfills both": (meddle(CLASS_TRIGGER, f"{OF_CLASS};", when="after"), 0),
    "a trigger on the class backfills one": (
        meddle(CLASS_TRIGGER, f"{OF_CLASS} and id % 2 = 0;", when="after"),
        1,
    ),
    "a trigger on the class enrolls one more": (
        meddle(
            CLASS_TRIGGER,
            "insert into public.program_class_enrollments"
            " select (jsonb_populate_record(x, jsonb_build_object('id', 3, 'user_id', 99999))).*"
            " from public.program_class_enrollments x where x.class_id = new.id limit 1;",
            when="after",
        ),
        3,
    ),
    "the hour is rounded": (
        meddle(ENROLLMENT_TRIGGER, "new.enrolled_at := date_trunc('day', new.enrolled_at);"),
        2,
    ),
    "a trigger makes the update itself": (
        meddle(
            ENROLLMENT_TRIGGER,
            "if pg_trigger_depth() > 1 then return new; end if;"
            " update public.program_class_enrollments set enrolled_at = new.enrolled_at where id = new.id;"
            " return null;",
        ),
        2,
    ),
    "rules write an audit log": (
        "create table public.audit_log (id integer);"
        "create rule audit as on update to public.program_classes"
        " do also insert into public.audit_log select generate_series(1, 7);"
        "create rule audit as on update to public.program_class_enrollments"
        " do also insert into public.audit_log values (old.id), (old.id);",
        2,
    ),
}


@pytest.mark.parametrize(
    ("code", "backfilled"), CHANGED_BY_THE_PLATFORM.values(), ids=CHANGED_BY_THE_PLATFORM
)
def test_a_run_counts_only_the_enrollments_that_it_backfilled(
    db: Database, code: str, backfilled: int
) -> None:
    class_id = db.class_()
    for number in (1, 2):
        db.enrollment(class_id, id=number)
    db.execute(code.replace("{bad}", str(class_id)))

    assert [(row.class_id, row.enrollments_backfilled) for row in db.run(AS_OF)] == [(class_id, backfilled)]

    assert db.status(class_id) == "Active"
    assert db.rows("select * from class_activation.problems") == []
    assert (db.last_run().enrollments_backfilled, db.last_run().classes_skipped) == (backfilled, 0)
    recorded = db.row("select enrollment_ids, enrollments_backfilled from class_activation.activations")
    assert len(recorded.enrollment_ids) == recorded.enrollments_backfilled == backfilled
    pending = "enrollment_status = 'Enrolled' and deleted_at is null or id = any (%s)"
    assert not db.rows(
        f"select from public.program_class_enrollments where enrolled_at is null and ({pending})",
        recorded.enrollment_ids,
    )
    assert db.run(AS_OF) == []


# none of them changes an enrollment, but the job cannot know that
HARMLESS = {
    "a trigger": meddle(ENROLLMENT_TRIGGER, "perform 1;"),
    "a rule": "create rule meddle as on update to public.program_class_enrollments do also select 1",
    "a policy": "alter table public.program_class_enrollments enable row level security",
    "a deferrable constraint": "alter table public.program_classes add unique (id) deferrable",
}


@pytest.mark.parametrize("code", HARMLESS.values(), ids=HARMLESS)
def test_code_on_enrollments_does_not_change_what_is_recorded(db: Database, code: str) -> None:
    def activate() -> Any:
        class_id = db.class_()
        enrollments = [db.enrollment(class_id) for _ in range(2)]
        assert [row.enrollments_backfilled for row in db.run(AS_OF)] == [2]
        recorded = db.row("select * from class_activation.activations where class_id = %s", class_id)
        assert recorded.enrollment_ids == enrollments
        assert recorded.updated_at_values == [recorded.activated_at]
        return recorded.enrolled_at_values, recorded.update_user_ids

    without = activate()
    db.execute(code.replace("{bad}", str(0)))
    assert activate() == without


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


FORCED = "enable row level security, force row level security"
HIDING = {
    "forced on the classes": ("program_classes", f"alter table public.program_classes {FORCED}"),
    "forced on the enrollments": (
        "program_class_enrollments",
        f"alter table public.program_class_enrollments {FORCED}",
    ),
    "forced with a policy that shows all": (
        "program_classes",
        f"alter table public.program_classes {FORCED};"
        "create policy all_rows on public.program_classes using (true)",
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
def test_row_security_that_hides_rows_is_an_error_that_names_the_table(
    owned: Database, owner: psycopg.Connection, role: str, table: str, policy: str
) -> None:
    class_id = owned.class_()
    enrollment = owned.enrollment(class_id)
    owned.execute(policy.format(role=role))

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f'row-level security.*"{table}"'):
        owner.execute(RUN)

    assert (owned.status(class_id), owned.enrolled_at(enrollment)) == ("Scheduled", None)
    assert owned.rows("select * from class_activation.runs") == []
    if table in ("program_classes", "facilities"):
        for question in ("preview()", "health()"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f'"{table}"'):
                owner.execute(f"select class_activation.{question}")
    doctor = "select level, detail from class_activation.doctor() where check_name = 'platform'"
    ((level, detail),) = owner.execute(doctor).fetchall()
    assert (level, f"public.{table}" in detail) == ("error", True)


def test_row_security_that_the_owner_bypasses_changes_nothing(
    owned: Database, owner: psycopg.Connection
) -> None:
    class_id = owned.class_()
    enrollment = owned.enrollment(class_id)
    for table in ("program_classes", "program_class_enrollments", "facilities", "users"):
        owned.execute(f"alter table public.{table} enable row level security")

    assert [row.class_id for row in owner.execute(RUN).fetchall()] == [class_id]
    assert owned.enrolled_at(enrollment) is not None


def test_policies_apply_to_the_triggers_of_the_platform(owned: Database, owner: psycopg.Connection) -> None:
    """With row_security off, a trigger that reads a table with forced policies would fail."""
    owner.execute(
        f"""
        create table public.tenants (name text);
        insert into public.tenants values ('shown'), ('hidden');
        alter table public.tenants {FORCED};
        create policy shown on public.tenants for select using (name = 'shown');
        create function public.look() returns trigger language plpgsql as $$
        begin
          if (select count(*) from public.tenants) <> 1 then raise exception 'no policy'; end if;
          return new;
        end $$;
        create trigger look before update on public.program_classes
          for each row execute function public.look();
        """
    )
    class_id = owned.class_()

    assert [row.class_id for row in owner.execute(RUN).fetchall()] == [class_id]


def test_catalogs_that_are_closed_to_public_fail_no_class(owned: Database, owner: psycopg.Connection) -> None:
    class_id = owned.class_()
    owned.enrollment(class_id)
    owned.execute(
        "revoke select on pg_database, pg_db_role_setting, pg_roles, pg_settings, pg_locks, pg_stat_activity"
        " from public"
    )

    (activated,) = owner.execute("select * from class_activation.activate_scheduled_classes()").fetchall()

    assert (activated.class_id, activated.enrollments_backfilled) == (class_id, 1)
    for call in ("health()", "preview()", "revert(1)"):
        owner.execute(f"select class_activation.{call}")
    assert owned.rows("select * from class_activation.problems") == []


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
    create trigger note after update on public.program_classes for each row execute function audit.note();
    create trigger note after update on public.program_class_enrollments
      for each row execute function audit.note();
    reset role;
"""
ROLE = "alter role {role} set search_path = "
DATABASE = "alter database {database} set search_path = "
ROLE_IN_DATABASE = "alter role {role} in database {database} set search_path = "

# where the search path of the application is set; the trigger finds its table only there
PATHS = {
    "of the database": [f"{DATABASE}audit, public"],
    "of every role in the database": [
        "alter role all in database {database} set search_path = audit, public"
    ],
    "the role before the database": [f"{DATABASE}public", f"{ROLE}audit, public"],
    "the role in the database before the role": [
        f"{ROLE}public",
        f"{DATABASE}public",
        f"{ROLE_IN_DATABASE}public, audit",
    ],
    "between other settings": [
        "alter role {role} set work_mem = '8MB'",
        "alter role {role} set application_name = 'search_path=public'",
        f"{ROLE}audit",
        "alter role {role} set statement_timeout = '1min'",
    ],
    "quoted names and names that do not exist": [f'{ROLE}"no such, schema", "$user", AUDIT, "Public"'],
    "one quoted string": [f"{ROLE}'audit'"],
    "temporary objects first": [f"{ROLE}pg_temp, audit, public"],
    "temporary objects in the middle": [f"{ROLE}public, pg_temp, audit"],
    "temporary objects last": [f"{ROLE}audit, pg_temp"],
    "temporary objects quoted": [f'{ROLE}"pg_temp", "audit"'],
    "temporary objects twice": [f"{ROLE}pg_temp, pg_temp, audit, pg_temp"],
    "a schema whose name only ends in pg_temp": [
        "create schema my_pg_temp",
        "grant usage on schema my_pg_temp to {role}",
        f"{ROLE}my_pg_temp, audit",
    ],
    "pg_catalog last": [f"{ROLE}audit, public, pg_catalog"],
    "an empty path": [f"{ROLE}''"],
    "temporary objects alone": [f"{ROLE}pg_temp"],
    "none": [],
}


@pytest.mark.parametrize("settings", PATHS.values(), ids=PATHS)
def test_the_platforms_triggers_get_the_search_path_of_a_new_session_of_the_owner(
    owned: Database, role: str, settings: list[str]
) -> None:
    owned.execute(AUDIT.format(role=role))
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


def test_a_search_path_of_every_role_of_the_cluster_counts_too(owned: Database, role: str) -> None:
    owned.execute(AUDIT.format(role=role))
    class_id = owned.class_()
    with owned.connection.transaction(force_rollback=True):  # so that no other test gets it
        owned.execute("alter role all set search_path = audit, public")
        assert [row.class_id for row in owned.run(AS_OF)] == [class_id]


def test_unqualified_names_work_as_when_the_application_writes(db: Database) -> None:
    """In each place where the platform may have code."""
    # before the rows: from PostgreSQL 17 on, an index on an expression is built with a separate path
    db.execute(
        """
        create table public.known_words (word text);
        create table public.audit_log (place text);
        create function public.allowed(text) returns boolean language plpgsql immutable as
          'begin return (select count(*) >= 0 from known_words); end';
        create function public.note() returns trigger language plpgsql as $$
        begin
          if not allowed(tg_name) then raise exception 'refused'; end if;
          insert into audit_log values (tg_name);
          create temporary table if not exists scratch (a integer);
          insert into scratch values (1);
          return new;
        end $$;
        alter table public.program_classes add check (allowed(status::text)),
          add note boolean generated always as (allowed(capacity::text)) stored;
        create index on public.program_classes (allowed(capacity::text), start_dt);
        create rule r as on update to public.program_classes do also
          insert into audit_log select 'rule' where allowed(new.status::text);
        create trigger class before update on public.program_classes for each row
          when (allowed(new.status::text)) execute function public.note();
        create trigger statement after update on public.program_classes execute function public.note();
        create constraint trigger deferred after update on public.program_classes initially deferred
          for each row execute function public.note();
        create trigger log before insert on public.change_log_entries
          for each row execute function public.note();
        create trigger enrollment before update on public.program_class_enrollments
          for each row execute function public.note();
        """
    )
    class_id = db.class_()
    enrollment = db.enrollment(class_id)

    assert [row.class_id for row in db.run(AS_OF)] == [class_id]

    assert db.rows("select * from class_activation.problems") == []
    assert db.enrolled_at(enrollment) is not None
    assert db.value("select array_agg(distinct place order by place) from public.audit_log") == sorted(
        ["class", "deferred", "enrollment", "log", "rule", "statement"]
    )
    assert db.value("select count(*) from class_activation.preview()") == 0


def test_the_platforms_code_does_not_find_temporary_objects_of_the_caller(owned: Database, role: str) -> None:
    owned.execute(
        f"""
        set role {role};
        create table public.audit_log (id integer);
        create function public.allowed() returns boolean language sql as 'select true';
        create function public.call() returns trigger language plpgsql as
          'begin insert into audit_log select new.id where allowed(); return new; end';
        create trigger t before update on public.program_classes
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


def test_objects_before_pg_catalog_in_the_applications_path_capture_nothing_of_the_job(db: Database) -> None:
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
    for name, left, right in (
        ("a", "integer", "integer"),
        ("b", "varchar", "varchar"),
        ("c", "text", "text"),
        ("d", "public.class_status", "public.class_status"),
        ("e", "integer", "integer[]"),
    ):
        db.execute(
            f"create function planted.{name}({left}, {right}) returns boolean {captured};"
            f"create operator planted.= (function = planted.{name}, leftarg = {left}, rightarg = {right})"
        )
    for table in ("program_classes", "program_class_enrollments", "change_log_entries", "pg_class"):
        db.execute(f"create table planted.{table} ()")
    class_id = db.class_()
    db.enrollment(class_id)
    # the platform's own trigger on the classes would be captured, as when the application writes
    db.execute("alter table public.program_classes disable trigger user")
    db.execute(f"alter database {db.name} set search_path = planted, pg_catalog, public")

    assert [(row.class_id, row.enrollments_backfilled) for row in db.run(AS_OF)] == [(class_id, 1)]
    assert db.rows("select outcome from class_activation.revert(1)") == [("reverted",)]


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
    create trigger audit after update on public.program_classes for each row execute function public.audit();
"""
FOREIGN_KEY = "references public.auditors (id) deferrable initially "
DEFERRED_KEY = AUDITED.format(schema="public", constraint=f"{FOREIGN_KEY}deferred")

DEFERRED_CONSTRAINTS = {
    "a foreign key": ("public", f"{FOREIGN_KEY}deferred"),
    "a foreign key in another schema": ("audit", f"{FOREIGN_KEY}deferred"),
    "a foreign key that the caller has deferred": ("public", f"{FOREIGN_KEY}immediate"),
    "a unique constraint": ("public", "unique deferrable initially deferred"),
}


@pytest.mark.parametrize(("schema", "constraint"), DEFERRED_CONSTRAINTS.values(), ids=DEFERRED_CONSTRAINTS)
def test_a_deferred_constraint_fails_only_its_class(db: Database, schema: str, constraint: str) -> None:
    db.execute("create schema audit")
    db.execute(AUDITED.format(schema=schema, constraint=constraint))
    facility = db.facility()
    good, bad, last = (db.class_(facility, capacity=capacity) for capacity in (5, 0, 5))

    with open_transaction(db, "set constraints all deferred") as session:
        activated = [row.class_id for row in session.execute(RUN).fetchall()]
        session.commit()

    assert activated == [good, last]
    assert db.status(bad) == "Scheduled"
    problem = db.row("select class_id, sqlstate from class_activation.problems")
    assert (problem.class_id, problem.sqlstate[:2]) == (bad, "23")


@pytest.mark.parametrize(
    "twin",
    [
        # PostgreSQL allows the name of a constraint once per table
        "create table public.other (id integer,"
        " constraint audit_log_auditor_id_fkey foreign key (id) references public.auditors (id))",
        "create schema elsewhere; create table elsewhere.other (id integer,"
        " constraint audit_log_auditor_id_fkey foreign key (id) references public.auditors (id))",
        'create table public."Odd; Name" (id integer, constraint "a ""b"", c" foreign key (id)'
        " references public.auditors (id) deferrable initially deferred)",
    ],
    ids=["not deferrable", "another schema", "quoted"],
)
def test_a_constraint_of_another_table_changes_nothing(db: Database, twin: str) -> None:
    db.execute(DEFERRED_KEY)
    db.execute(twin)
    good, bad = db.class_(capacity=5), db.class_(capacity=0)

    assert [row.class_id for row in db.run(AS_OF)] == [good]
    assert db.row("select class_id, sqlstate from class_activation.problems") == (bad, "23503")


def test_a_deferred_constraint_of_another_owners_table_fails_only_its_class(
    owned: Database, owner: psycopg.Connection
) -> None:
    """An extension's audit table is the superuser's; the platform's trigger writes it."""
    owned.execute(DEFERRED_KEY)
    good, bad = owned.class_(capacity=5), owned.class_(capacity=0)

    assert [row.class_id for row in owner.execute(RUN).fetchall()] == [good]
    assert owned.row("select class_id, sqlstate from class_activation.problems") == (bad, "23503")


def test_deferred_constraints_are_deferred_again_after_a_run(db: Database) -> None:
    db.execute(DEFERRED_KEY)
    db.class_()
    with open_transaction(db, RUN) as session:
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
        # the name of a deferred constraint of the platform
        ("pg_temp", "audit_log_auditor_id_fkey"),
        ("public", "audit_log_auditor_id_fkey"),
    ],
)
def test_a_deferred_trigger_of_the_caller_never_runs_with_the_owners_rights(
    owned: Database, owner: psycopg.Connection, caller: psycopg.Connection, schema: str, name: str
) -> None:
    owner.execute(DEFERRED_KEY)
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


def test_a_function_in_public_does_not_capture_the_command_of_pg_cron(
    owned: Database, owner: psycopg.Connection, caller: psycopg.Connection
) -> None:
    owned.execute(f"grant create on schema public to {caller.info.user}")
    owner.execute("set search_path = public, class_activation")
    # the job's own signature is free once the function for DBAs has been dropped
    owned.execute("drop function public.activate_scheduled_classes(timestamptz, time, integer)")
    for signature in ("tick()", "activate_scheduled_classes(timestamptz, time, integer)"):
        caller.execute(
            f"create function public.{signature} returns bigint language plpgsql"
            " as $$ begin raise 'captured'; end $$"
        )
    caller.commit()
    class_id = owned.class_()

    owner.execute(COMMAND)

    assert owned.status(class_id) == "Active"
