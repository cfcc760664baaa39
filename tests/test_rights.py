"""The rights of each role, the rights of each function, and objects of other roles that capture nothing."""

import pytest
from harness import OFF, Database, deploy, grant_ddl, objects, own_platform, owners, refused

# the functions that can be granted to other roles, which need no other right
NAMES = {
    *("activate_scheduled_classes", "tick", "pause", "resume", "preview", "health", "history", "revert"),
    *("release", "version", "doctor", "doctor_installation", "doctor_platform", "doctor_pg_cron"),
}
FOR_OTHERS = {"public.activate_scheduled_classes", *(f"class_activation.{name}" for name in NAMES)}
# of these, those that run with the rights of their caller
WITH_THE_CALLERS_RIGHTS = {f"class_activation.{name}" for name in ("doctor", "doctor_pg_cron", "version")}


@pytest.fixture
def bare(platform: Database, role: str) -> Database:
    """The platform, owned by ROLE, without class activation."""
    own_platform(platform, role)
    return platform


def install(bare: Database, other: str) -> None:
    """Install the job as a superuser, and let OTHER execute the functions for others."""
    deploy("upgrade", "head", database=bare.name, x=OFF)
    bare.execute(f"grant execute on function {', '.join(FOR_OTHERS)} to {other}")


def test_others_have_only_the_rights_that_they_are_granted(bare: Database, role: str, other: str) -> None:
    install(bare, other)
    assert owners(bare) == {role}
    rights = {f"{right} on {row.name}" for row in objects(bare) for right in row.rights}
    usage = {f"USAGE to public on {schema}" for schema in ("class_activation", "class_activation_internal")}
    assert rights == usage | {f"EXECUTE to {other} on {name}" for name in FOR_OTHERS}


def test_execute_is_the_only_right_that_a_caller_needs(bare: Database, other: str) -> None:
    install(bare, other)
    bare.class_()
    bare.run()
    session = bare.connect(user=other, password="secret")
    for name in FOR_OTHERS:
        session.execute(f"select {name}({'1' if name.endswith(('revert', 'release')) else ''})")


def test_only_functions_for_others_run_with_the_owners_rights(db: Database) -> None:
    functions = db.rows(
        """
        select format('%s.%s', pronamespace::regnamespace, proname) as name, prosecdef as definer,
          proconfig as settings
        from pg_proc
        where pronamespace::regnamespace::text ~ '^class_activation' or proname = 'activate_scheduled_classes'
        """
    )
    definers = {function.name for function in functions if function.definer}
    assert definers == FOR_OTHERS - WITH_THE_CALLERS_RIGHTS
    for function in functions:
        assert "search_path=pg_catalog, pg_temp" in function.settings, function.name


def test_triggers_run_with_the_owners_rights(bare: Database, role: str, other: str) -> None:
    install(bare, other)
    planted = {
        f"{name} of {table}": f"create {kind} on public.{table} {condition} execute function public.see()"
        for table in (bare.label, "program_class_enrollments")
        for name, kind, condition in (
            ("row before", 'trigger "{}" before update', "for each row"),
            ("row after", 'trigger "{}" after update', "for each row"),
            ("statement before", 'trigger "{}" before update', ""),
            ("statement after", 'trigger "{}" after update', ""),
            ("deferred", 'constraint trigger "{}" after update', "initially deferred for each row"),
        )
    }
    owner = bare.connect(user=role, password="secret")
    owner.execute(
        "create table public.seen (who name, what name);"
        "grant insert on public.seen to public;"
        "create function public.see() returns trigger language plpgsql as"
        " 'begin insert into public.seen values (current_user, tg_name); return new; end'"
    )
    for name, statement in planted.items():
        owner.execute(statement.format(name))

    superuser = bare.connect()
    for session in (superuser, owner, bare.connect(user=other, password="secret")):
        caller = session.info.user
        bare.enrollment(bare.class_())
        for call in (
            "select enrollments_backfilled from public.activate_scheduled_classes()",
            "select enrollments_reverted from class_activation.revert({last_run})",
        ):
            last_run = bare.value("select max(id) from class_activation.runs")
            assert session.execute(call.format(last_run=last_run)).fetchall() == [(1,)]
            seen = bare.rows("delete from public.seen returning who, what")
            assert {row.what for row in seen} == set(planted), (caller, call)
            # for any other caller it runs at commit: as the caller, from PostgreSQL 18 on as the owner
            deferred = {row.who for row in seen if row.what.startswith("deferred")}
            as_caller = caller == other and bare.connection.info.server_version < 180000
            assert deferred == {other if as_caller else role}, (caller, call)
            assert {row.who for row in seen if not row.what.startswith("deferred")} == {role}, (caller, call)
            assert bare.last_run().called_by == caller


CAPTURED = "language plpgsql as $$ begin raise 'captured'; end $$"

# under the caller's search path, each would replace one of the job, the platform or PostgreSQL
PLANTED = {
    "temporary tables": """
        do $$ declare v_name name; begin
          for v_name in select relname from pg_class where relkind = 'r'
            and relnamespace in ('public'::regnamespace, 'class_activation'::regnamespace)
          loop execute format('create temporary table %I ()', v_name); end loop;
        end $$
    """,
    # some with a signature of PostgreSQL's, some with one that fits the call even better
    "functions": "".join(
        f"create function public.{signature} {CAPTURED};"
        for signature in (
            "now() returns timestamptz",
            "clock_timestamp() returns timestamptz",
            "isfinite(timestamptz) returns boolean",
            "num_nulls(timestamptz, timestamptz) returns integer",
            "cardinality(integer[]) returns integer",
            "unnest(integer[]) returns setof integer",
            "format(text, text) returns text",
            "format(text, integer) returns text",
            "to_regclass(text) returns regclass",
            "pg_notify(text, text) returns void",
            "set_config(text, text, boolean) returns text",
            "has_schema_privilege(oid, text) returns boolean",
        )
    ),
    "operators": "".join(
        f"create function public.{name}({left}, {right}) returns {result} {CAPTURED};"
        f"create operator public.{operator} (function = public.{name}, leftarg = {left}, rightarg = {right});"
        for name, operator, left, right, result in (
            ("a", "=", "public.class_status", "public.class_status", "boolean"),
            ("b", "=", "varchar", "varchar", "boolean"),
            ("c", "=", "integer", "integer", "boolean"),
            ("d", "<=", "timestamp", "timestamp", "boolean"),
            ("e", "<=", "date", "date", "boolean"),
            ("f", "+", "date", "time", "timestamp"),
            ("g", ">", "timestamptz", "timestamptz", "boolean"),
            ("h", "||", "text", "text", "text"),
            ("i", "!~", "text", "text", "boolean"),
        )
    ),
}

QUESTIONS = [
    "select class_id, due_at, due, enrollments_to_backfill, problem from class_activation.preview()",
    "select class_id, due_at, enrollments_backfilled from public.activate_scheduled_classes()",
    "select status, problem_classes, unknown_timezones, next_due_at from class_activation.health()",
    "select check_name, level, fix from class_activation.doctor()",
    "select class_id, enrollments_reverted from class_activation.revert(1)",
]


@pytest.mark.parametrize("kind", PLANTED)
def test_planted_objects_capture_nothing(db: Database, platform: Database, kind: str) -> None:
    deploy("upgrade", "head", database=platform.name, x=OFF)
    for database in (db, platform):
        database.enrollment(database.class_())
        database.class_(start_dt="2999-01-01")
        database.class_(database.facility("Mars/Phobos"))

    platform.execute(PLANTED[kind])
    platform.execute("set search_path = pg_temp, public, pg_catalog")

    for question in QUESTIONS:
        assert platform.rows(question) == db.rows(question)


def test_a_schema_cron_of_another_author_is_ignored(db: Database) -> None:
    db.execute(
        f"""
        create schema cron;
        create function cron.captured() returns text {CAPTURED};
        create view cron.job as
          select 1::bigint as jobid, cron.captured() as jobname, current_database() as database, true active;
        create table cron.job_run_details (jobid bigint, start_time timestamptz);
        insert into cron.job_run_details values (1, '2026-01-01');
        create function cron.unschedule(bigint) returns boolean {CAPTURED};
        """
    )
    db.run()
    assert db.value("select job_active from class_activation.health()") is None
    assert db.value("select class_activation.unschedule()") == 0


@pytest.mark.parametrize(
    ("taken", "named"),
    [
        (
            "create function public.activate_scheduled_classes() returns int language sql as 'select 1'",
            "function public.activate_scheduled_classes()",
        ),
        # with the very signature of the job
        (
            "create function public.activate_scheduled_classes(timestamptz, time, integer) returns int"
            " language sql as 'select 1'",
            "function public.activate_scheduled_classes(timestamp with time zone,time",
        ),
        (
            "create table public.other (a int); create index class_activation_due_idx on public.other (a)",
            "index public.class_activation_due_idx",
        ),
        ("create table public.class_activation_due_idx ()", "index public.class_activation_due_idx"),
        ("create schema class_activation", "schema class_activation"),
        ("create schema class_activation; create table class_activation.other ()", "schema class_activation"),
    ],
)
def test_a_name_that_is_taken_is_refused(platform: Database, role: str, taken: str, named: str) -> None:
    grant_ddl(platform, role)
    platform.connect(user=role, password="secret").execute(taken)

    said = refused(platform)

    assert named in said
    assert "Nothing was" in said
