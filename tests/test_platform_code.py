"""Code of the platform that runs inside the writes: triggers, rules, policies and deferred constraints."""

from functools import partial
from typing import Any

import psycopg
import pytest
from harness import COMMAND, OFF, Database, deploy, open_transaction, own_platform, refused

AS_OF = "2026-03-02 12:00Z"
RUN = f"select * from class_activation.activate_scheduled_classes('{AS_OF}')"


def trigger(table: str, condition: str, body: str, when: str = "before", timing: str = "") -> str:
    """Return a trigger that executes BODY for each row of the class {bad} that the job writes."""
    return f"""
        create function public.meddle() returns trigger language plpgsql as
          $$ begin {body} return new; end $$;
        create {"constraint" if timing else ""} trigger meddle {when} update on public.{table} {timing}
          for each row when (old.{condition}) execute function public.meddle();
    """


on_class = partial(trigger, "program_classes", "id = {bad} and old.status = 'Scheduled'")
on_enrollment = partial(trigger, "program_class_enrollments", "class_id = {bad} and old.enrolled_at is null")
RULE = "create rule meddle as on update to public.{} where old.{} = {{bad}} do instead nothing"
ENROLLMENTS = "update public.program_class_enrollments set"
SECOND = "if new.id % 2 = 0 then {} end if;"

# each leaves a row of one class unchanged, and PostgreSQL reports no error
DEFERRED = {"when": "after", "timing": "initially deferred"}
STATUS_BACK = "update public.program_classes set status = 'Scheduled' where id = new.id;"
ENROLLED_AT_BACK = f"{ENROLLMENTS} enrolled_at = null where id = new.id;"
SUPPRESSED_STATUS = {
    "keep": on_class("new.status := old.status;"),
    "null": on_class("new.status := null;"),
    "return null": on_class("return null;"),
    "after": on_class(STATUS_BACK, when="after"),
    "deferred": on_class(STATUS_BACK, **DEFERRED),
    "rule": RULE.format("program_classes", "id"),
}
SUPPRESSED_ENROLLED_AT = {
    "keep": on_enrollment("new.enrolled_at := old.enrolled_at;"),
    "null one of two": on_enrollment(SECOND.format("new.enrolled_at := null;")),
    "return null for one of two": on_enrollment(SECOND.format("return null;")),
    "after": on_enrollment(ENROLLED_AT_BACK, when="after"),
    "deferred": on_enrollment(ENROLLED_AT_BACK, **DEFERRED),
    "rule": RULE.format("program_class_enrollments", "class_id"),
    "statement trigger": f"""
        create function public.meddle() returns trigger language plpgsql as $$
        begin
          {ENROLLMENTS} enrolled_at = null where class_id = {{bad}} and enrolled_at is not null;
          return null;
        end $$;
        create trigger meddle after update on public.program_class_enrollments
          for each statement when (pg_trigger_depth() = 0) execute function public.meddle();
    """,
}
SUPPRESSED = {
    f"{step} {name}": (step, code)
    for step, codes in (
        ("activate", SUPPRESSED_STATUS),
        ("enroll", SUPPRESSED_ENROLLED_AT),
        ("backfill", SUPPRESSED_ENROLLED_AT),
    )
    for name, code in codes.items()
}


@pytest.mark.parametrize(("step", "code"), SUPPRESSED.values(), ids=SUPPRESSED)
def test_a_suppressed_update_fails_only_its_class(db: Database, step: str, code: str) -> None:
    facility = db.facility()
    good, bad, last = (db.class_(facility) for _ in range(3))
    if step == "backfill":
        db.run(AS_OF)
    enrollments = [db.enrollment(class_id) for class_id in (good, bad, last) for _ in range(2)]
    due = [*([] if step == "backfill" else [good, last]), db.class_(facility)]
    db.execute(code.replace("{bad}", str(bad)))

    def stored() -> list[Any]:
        tables = {
            "public.program_classes": "id",
            "public.program_class_enrollments": "class_id",
            "public.program_classes_history": "parent_ref_id",
            "public.change_log_entries": "parent_ref_id",
            "class_activation.activations": "class_id",
        }
        return [db.rows(f"select * from {name} where {key} = {bad}") for name, key in tables.items()]

    before = stored()
    for attempt, activated, backfilled in ((1, due, 4), (2, [], 0)):
        assert [row.class_id for row in db.run(AS_OF)] == activated
        problem = db.row("select * from class_activation.problems")
        assert (problem.class_id, problem.sqlstate, problem.attempts) == (bad, "55000", attempt)
        assert "row security" in problem.message
        run = db.last_run()
        assert (run.enrollments_backfilled, run.classes_failed, run.classes_skipped) == (backfilled, 1, 0)
        # nothing of the class is written
        assert stored() == before
    assert db.health().status != "ok"

    for table in ("program_classes", "program_class_enrollments"):
        db.execute(f"drop rule if exists meddle on public.{table}")
        db.execute(f"drop trigger if exists meddle on public.{table}")
    assert [row.class_id for row in db.run(AS_OF)] == ([] if step == "backfill" else [bad])
    assert None not in [db.enrolled_at(enrollment) for enrollment in enrollments]
    assert db.rows("select * from class_activation.problems") == []


# what the platform does with the two enrollments of a class, and how many the run has backfilled in the end
OF_CLASS = f"{ENROLLMENTS} enrolled_at = now() where class_id = new.id"
CHANGED_BY_THE_PLATFORM = {
    "the second is put on a waiting list": (
        on_enrollment(SECOND.format("new.enrollment_status := 'Waitlisted'; new.enrolled_at := null;")),
        1,
    ),
    "the second is deleted": (
        on_enrollment(SECOND.format("new.deleted_at := now(); new.enrolled_at := null;")),
        1,
    ),
    # as the hook of the application does for its bulk action
    "a trigger on the class backfills both": (on_class(f"{OF_CLASS};", when="after"), 0),
    "a trigger on the class backfills one": (on_class(f"{OF_CLASS} and id % 2 = 0;", when="after"), 1),
    "a trigger on the class enrolls one more": (
        on_class(
            "insert into public.program_class_enrollments"
            " select (jsonb_populate_record(x, jsonb_build_object('id', 3, 'user_id', 99999))).*"
            " from public.program_class_enrollments x where x.class_id = new.id limit 1;",
            when="after",
        ),
        3,
    ),
    "the hour is rounded": (on_enrollment("new.enrolled_at := date_trunc('day', new.enrolled_at);"), 2),
    "a trigger makes the update itself": (
        on_enrollment(
            "if pg_trigger_depth() > 1 then return new; end if;"
            f" {ENROLLMENTS} enrolled_at = new.enrolled_at where id = new.id; return null;"
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
    "a trigger": on_enrollment("perform 1;"),
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
        enrollments += [db.enrollment(class_id) for _ in range(2)]
        db.run(AS_OF)
        recorded = db.row("select * from class_activation.activations where class_id = %s", class_id)
        assert recorded.enrollment_ids == enrollments
        assert [at == recorded.activated_at for at in recorded.updated_at_values] == [True, False]
        return len(recorded.enrolled_at_values), recorded.update_user_ids

    without = activate()
    db.execute(code.replace("{bad}", str(0)))
    assert activate() == without


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


ENABLED = "alter table public.{table} enable row level security;"
FORCED = f"{ENABLED} alter table public.{{table}} force row level security;"
OF_ANOTHER_OWNER = f"""
    alter table public.{{table}} owner to current_user; {ENABLED}
    grant select, references on public.{{table}} to {{role}};
"""
HIDING = {
    "forced on the classes": ("program_classes", FORCED),
    "forced on the enrollments": ("program_class_enrollments", FORCED),
    "on facilities of another owner": ("facilities", OF_ANOTHER_OWNER),
    "on users of another owner": ("users", OF_ANOTHER_OWNER),
}


@pytest.mark.parametrize(("table", "policy"), HIDING.values(), ids=HIDING)
def test_row_security_that_hides_rows_is_an_error_that_names_the_table(
    owned: Database, owner: psycopg.Connection, role: str, table: str, policy: str
) -> None:
    class_id = owned.class_()
    enrollment = owned.enrollment(class_id)
    owned.execute(policy.format(table=table, role=role))

    with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f'row-level security.*"{table}"'):
        owner.execute(RUN)

    assert (owned.status(class_id), owned.enrolled_at(enrollment)) == ("Scheduled", None)
    assert owned.rows("select * from class_activation.runs") == []
    readers = {"program_classes": ["preview", "health"], "facilities": ["preview", "health", "history"]}
    for reader in readers.get(table, []):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match=f'"{table}"'):
            owner.execute(f"select class_activation.{reader}()")
    assert f"rows of public.{table}" in refused(owned)
    doctor = "select level, detail from class_activation.doctor() where check_name = 'platform'"
    ((level, detail),) = owner.execute(doctor).fetchall()
    assert (level, f"public.{table}" in detail) == ("error", True)


TABLES = ("program_classes", "program_class_enrollments", "facilities", "users")
HARMLESS_TO_THE_OWNER = {
    "row security that the owner bypasses": "".join(ENABLED.format(table=table) for table in TABLES),
    # with row_security off, the trigger would fail
    "a forced policy on a table that a trigger reads": f"""
        set role {{role}};
        create table public.tenants (name text);
        insert into public.tenants values ('shown'), ('hidden');
        {FORCED.format(table="tenants")}
        create policy shown on public.tenants for select using (name = 'shown');
        create function public.look() returns trigger language plpgsql as
          'begin assert (select count(*) from public.tenants) = 1; return new; end';
        create trigger look before update on public.program_classes
          for each row execute function public.look();
        reset role;
    """,
    "catalogs that are closed to PUBLIC": (
        "revoke select on pg_database, pg_db_role_setting, pg_roles, pg_settings, pg_locks, pg_stat_activity"
        " from public"
    ),
}


@pytest.mark.parametrize("code", HARMLESS_TO_THE_OWNER.values(), ids=HARMLESS_TO_THE_OWNER)
def test_other_restrictions_do_not_affect_the_owner(
    owned: Database, owner: psycopg.Connection, role: str, code: str
) -> None:
    class_id = owned.class_()
    owned.enrollment(class_id)
    owned.execute(code.format(role=role))

    (activated,) = owner.execute(RUN).fetchall()

    assert (activated.class_id, activated.enrollments_backfilled) == (class_id, 1)
    for call in ("health()", "preview()", "revert(1)"):
        owner.execute(f"select class_activation.{call}")
    assert owned.rows("select * from class_activation.problems") == []


AUDIT = """
    create schema audit;
    grant usage, create on schema audit to {role};
    set role {role};
    create table audit.audit_log (schemas name[]);
    create function audit.note() returns trigger language plpgsql as
      'begin insert into audit_log values (current_schemas(false)); return new; end';
    create trigger note after update on public.program_classes for each row execute function audit.note();
    create trigger note after update on public.program_class_enrollments
      for each row execute function audit.note();
    reset role;
"""
ROLE = "alter role {role} set search_path = "
DATABASE = "alter database {database} set search_path = "

PERMANENT = "array(select s from unnest({}) s where s !~ '^pg_temp')"

# where the search path of the application is set; the trigger finds its table only there
PATHS = {
    "of the database": f"{DATABASE}audit, public",
    "of every role in the database": "alter role all in database {database} set search_path = audit, public",
    "the role before the database": f"{DATABASE}public; {ROLE}audit, public",
    "the role in the database before the role": (
        f"{ROLE}public; {DATABASE}public;"
        "alter role {role} in database {database} set search_path = public, audit"
    ),
    "between other settings": (
        "alter role {role} set work_mem = '8MB';"
        "alter role {role} set application_name = 'search_path=public';"
        f"{ROLE}audit; alter role {{role}} set statement_timeout = '1min'"
    ),
    "quoted names and names that do not exist": f'{ROLE}"no such, schema", "$user", AUDIT, "Public"',
    "one quoted string": f"{ROLE}'audit'",
    "temporary objects in the middle, quoted": (
        "select set_config('search_path', 'public, \"pg_temp\", audit', false);"
        "alter role {role} set search_path from current; reset search_path"
    ),
    "temporary objects twice": f"{ROLE}pg_temp, pg_temp, audit, pg_temp",
    "a schema whose name only ends in pg_temp": (
        f"create schema my_pg_temp; grant usage on schema my_pg_temp to {{role}}; {ROLE}my_pg_temp, audit"
    ),
    "pg_catalog last": f"{ROLE}audit, public, pg_catalog",
    "an empty path": f"{ROLE}''",
    "temporary objects alone": f"{ROLE}pg_temp",
    "none": "",
}


@pytest.mark.parametrize("settings", PATHS.values(), ids=PATHS)
def test_the_platforms_triggers_get_the_search_path_of_a_new_session_of_the_owner(
    owned: Database, role: str, settings: str
) -> None:
    owned.execute(AUDIT.format(role=role))
    owned.execute(settings.format(role=role, database=owned.name))
    application = owned.connect(user=role, password="secret")
    # but temporary objects are never first
    (schemas,) = application.execute(f"select {PERMANENT.format('current_schemas(false)')}").fetchone()
    # where the application's own write fails, so does the job's, as a problem of the class
    (found,) = application.execute("select to_regclass('audit_log') is not null").fetchone()
    application.close()
    superuser = owned.connect()
    superuser.execute("set search_path = pg_temp, public")
    if found:
        superuser.execute("create temporary table audit_log (); create temporary table program_classes ()")

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
    seen = owned.rows(f"select distinct {PERMANENT.format('schemas')} from audit.audit_log")
    assert seen == [(schemas,)] * found


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
        create trigger statement after update on public.program_classes execute function public.note();
        """
    )
    # without code on enrollments but for a constraint
    db.execute("alter table public.program_class_enrollments add check (allowed(enrollment_status::text))")
    enrollment = db.enrollment(db.class_())
    db.run(AS_OF)
    assert db.enrolled_at(enrollment) is not None
    triggers = {
        "class": "trigger class before update on public.program_classes",
        "deferred": "constraint trigger deferred after update on public.program_classes initially deferred",
        "enrollment": "trigger enrollment before update on public.program_class_enrollments",
        "log": "trigger log before insert on public.change_log_entries",
    }
    for code in triggers.values():
        db.execute(f"create {code} for each row when (allowed(new.id::text)) execute function public.note()")
    class_id = db.class_()
    enrollment = db.enrollment(class_id)

    assert [row.class_id for row in db.run(AS_OF)] == [class_id]

    assert db.rows("select * from class_activation.problems") == []
    assert db.enrolled_at(enrollment) is not None
    places = db.value("select array_agg(distinct place order by place) from public.audit_log")
    assert places == [*triggers, "rule", "statement"]
    assert db.value("select count(*) from class_activation.preview()") == 0


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
    same = [(name, name) for name in ("integer", "varchar", "text", "public.class_status")]
    for left, right in [*same, ("integer", "integer[]")]:
        db.execute(
            f"create function planted.same({left}, {right}) returns boolean {captured};"
            f"create operator planted.= (function = planted.same, leftarg = {left}, rightarg = {right})"
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


FOREIGN_KEY = "references public.auditors (id) deferrable initially "


def audited(constraint: str = f"{FOREIGN_KEY}deferred", schema: str = "public", more: str = "") -> str:
    """Return an audit log with a constraint that a class without capacity violates."""
    return f"""
        create schema audit;
        create table public.auditors (id integer primary key);
        create table {schema}.audit_log (class_id integer, auditor_id integer {constraint});
        create function public.audit() returns trigger language plpgsql security definer as $$
        begin
          insert into {schema}.audit_log
          select new.id, case when new.capacity = 0 then 1 end from generate_series(1, 2);
          return new;
        end $$;
        create trigger audit after update on public.program_classes
          for each row execute function public.audit();
        {more}
    """


KEY = "audit_log_auditor_id_fkey"
SAME_NAME = f"(id integer constraint {KEY} references public.auditors (id))"
DEFERRED_CONSTRAINTS = {
    "a foreign key": audited(),
    "a foreign key in another schema": audited(schema="audit"),
    "a foreign key that the caller has deferred": audited(f"{FOREIGN_KEY}immediate"),
    "a unique constraint": audited("unique deferrable initially deferred"),
    # PostgreSQL allows the name of a constraint once per table
    "one more that is not deferrable": audited(more=f"create table public.other {SAME_NAME}"),
    "one more in another schema": audited(more=f"create table audit.other {SAME_NAME}"),
    "one more whose name needs quotes": audited(
        more='create table public."Odd; Name" (id integer constraint "a ""b"", c"'
        " references public.auditors (id) deferrable initially deferred)"
    ),
}


@pytest.mark.parametrize("code", DEFERRED_CONSTRAINTS.values(), ids=DEFERRED_CONSTRAINTS)
def test_a_deferred_constraint_fails_only_its_class(
    owned: Database, owner: psycopg.Connection, code: str
) -> None:
    """The audit log belongs to another role, as that of an extension does."""
    owned.execute(code)
    facility = owned.facility()
    good, bad, last = (owned.class_(facility, capacity=capacity) for capacity in (5, 0, 5))

    with owner.transaction():
        owner.execute("set constraints all deferred")
        activated = [row.class_id for row in owner.execute(RUN).fetchall()]

    assert activated == [good, last]
    assert owned.status(bad) == "Scheduled"
    problem = owned.row("select class_id, sqlstate from class_activation.problems")
    assert (problem.class_id, problem.sqlstate[:2]) == (bad, "23")


def test_deferred_constraints_are_deferred_again_after_a_run(db: Database) -> None:
    db.execute(audited())
    db.class_()
    with open_transaction(db, RUN) as session:
        session.execute("insert into public.audit_log values (1, 7)")
        session.execute("insert into public.auditors values (7)")
        session.commit()


@pytest.fixture
def caller(owned: Database, other: str) -> psycopg.Connection:
    """A session in a transaction, of a role that has EXECUTE on the job and on revert and nothing else."""
    owned.execute(
        "grant execute on function public.activate_scheduled_classes,"
        f" class_activation.activate_scheduled_classes, class_activation.revert to {other}"
    )
    return owned.connect(user=other, password="secret", autocommit=False)


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


# KEY: the name of a deferred constraint of the platform
@pytest.mark.parametrize(("schema", "name"), [("pg_temp", "spy"), ("pg_temp", KEY), ("public", KEY)])
def test_a_deferred_trigger_of_the_caller_never_runs_with_the_owners_rights(
    owned: Database, owner: psycopg.Connection, caller: psycopg.Connection, schema: str, name: str
) -> None:
    owner.execute(audited())
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
