"""Who may do what, with whose rights it runs, and what another role has planted is never run."""

from collections.abc import Iterator

import psycopg
import pytest
from harness import OFF, Database, alembic, deploy, own_platform

PRIVILEGES = {
    "schema": {"U": "usage", "C": "create"},
    "table": {
        "r": "select",
        "a": "insert",
        "w": "update",
        "d": "delete",
        "D": "truncate",
        "x": "references",
        "t": "trigger",
    },
    "sequence": {"r": "select", "w": "update", "U": "usage"},
    "function": {"X": "execute"},
}

# the functions that a role with nothing but EXECUTE may be given
FOR_OTHERS = [
    "public.activate_scheduled_classes",
    *(
        f"class_activation.{name}"
        for name in (
            *(
                "activate_scheduled_classes",
                "tick",
                "pause",
                "resume",
                "preview",
                "health",
                "history",
                "revert",
            ),
            *("release", "version", "doctor", "doctor_installation", "doctor_platform", "doctor_pg_cron"),
        )
    ),
]
# of these, those that need no more rights than their caller has
WITH_THE_CALLERS_RIGHTS = {
    "class_activation.doctor",
    "class_activation.doctor_pg_cron",
    "class_activation.version",
}

# what each role tries, and who may
CALLS = {
    "select public.activate_scheduled_classes()": {"superuser", "owner", "execute"},
    "select class_activation.preview()": {"superuser", "owner", "execute"},
    "select class_activation.health()": {"superuser", "owner", "execute"},
    "select class_activation.revert(1)": {"superuser", "owner", "execute"},
    "select class_activation.release(1)": {"superuser", "owner", "execute"},
    "select class_activation.doctor()": {"superuser", "owner", "execute"},
    "select class_activation.schedule()": {"superuser", "owner"},
    "select class_activation.unschedule()": {"superuser", "owner"},
    "select class_activation_internal.activate_batch(1, '{}', now(), '05:00', 99999, false)": {
        "superuser",
        "owner",
    },
    "delete from class_activation.holds": {"superuser", "owner"},
    "select from class_activation.runs": {"superuser", "owner", "reader"},
}


@pytest.fixture
def roles(server: Database, role: str) -> Iterator[dict[str, str]]:
    """The name of each kind of role in EXPECTED; the databases of the test are gone before they are."""
    plain = {kind: f"{role}_{kind}" for kind in ("execute", "reader", "nobody")}
    for name in plain.values():
        server.execute(f"create role {name} login password 'secret'")
    server.execute(f"grant pg_read_all_data to {plain['reader']}")
    yield {"superuser": server.value("select current_user"), "owner": role, **plain}
    for name in plain.values():
        server.execute(f"drop role {name}")


@pytest.fixture
def bare(roles: dict[str, str], platform: Database) -> Database:
    """The platform, owned by a plain role, and nothing of class activation."""
    own_platform(platform, roles["owner"])
    return platform


def install(bare: Database, roles: dict[str, str]) -> None:
    """Install the job as a superuser, and grant what an on-call role may be given."""
    deploy("upgrade", "head", database=bare.name, x=OFF)
    bare.execute(f"grant execute on function {', '.join(FOR_OTHERS)} to {roles['execute']}")


def log_in(database: Database, roles: dict[str, str], kind: str) -> psycopg.Connection:
    """Open a session of one of ROLES."""
    if kind == "superuser":
        return database.connect()
    return database.connect(user=roles[kind], password="secret")


def objects(database: Database) -> set[tuple[str, str, int]]:
    """Return kind, name and oid of everything that one can have rights on."""
    return set(
        database.rows(
            """
            select 'schema', nspname::text, oid from pg_namespace where nspname !~ '^pg_'
            union all
            select case relkind when 'S' then 'sequence' else 'table' end, oid::regclass::text, oid
            from pg_class where relkind not in ('i', 'I', 'c', 't')
            union all
            select 'function', format('%s.%s', pronamespace::regnamespace, proname), oid from pg_proc
            where pronamespace::regnamespace::text !~ '^pg_temp'
            """
        )
    )


def test_each_role_has_exactly_the_rights_that_it_needs(bare: Database, roles: dict[str, str]) -> None:
    """All for the owner, EXECUTE for a role that it was granted to, and no more."""
    before = objects(bare)
    install(bare, roles)

    def expected(kind: str, name: str, role: str) -> str:
        if role in ("superuser", "owner"):
            return "".join(PRIVILEGES[kind])
        if kind == "schema":
            return "U"
        if kind == "function":
            return "X" if role == "execute" and name in FOR_OTHERS else ""
        return "r" if role == "reader" else ""

    new = objects(bare) - before
    assert {name for kind, name, _ in new if kind == "function"} >= set(FOR_OTHERS)
    for kind, name, oid in new:
        has = f"select has_{kind}_privilege(%s, %s::oid, %s)"
        for role, rolname in roles.items():
            found = [
                x for x, privilege in PRIVILEGES[kind].items() if bare.value(has, rolname, oid, privilege)
            ]
            assert "".join(found) == expected(kind, name, role), (kind, name, role)


def test_each_role_can_do_what_it_may_and_nothing_else(bare: Database, roles: dict[str, str]) -> None:
    install(bare, roles)
    bare.class_()
    bare.run()

    def may(session: psycopg.Connection, call: str) -> bool:
        try:
            session.execute(call)
        except psycopg.errors.InsufficientPrivilege:
            return False
        except psycopg.errors.ObjectNotInPrerequisiteState:
            pass  # schedule got as far as to miss pg_cron
        return True

    sessions = {kind: log_in(bare, roles, kind) for kind in roles}
    found = {call: {kind for kind in roles if may(sessions[kind], call)} for call in CALLS}

    assert found == CALLS


def test_only_what_is_made_for_others_runs_with_the_owners_rights_and_all_is_pinned(db: Database) -> None:
    functions = db.rows(
        """
        select format('%s.%s', pronamespace::regnamespace, proname) as name, prosecdef as definer,
          proconfig as settings
        from pg_proc
        where pronamespace::regnamespace::text ~ '^class_activation' or proname = 'activate_scheduled_classes'
        """
    )
    assert {function.name for function in functions if function.definer} == (
        set(FOR_OTHERS) - WITH_THE_CALLERS_RIGHTS
    )
    for function in functions:
        assert "search_path=pg_catalog, pg_temp" in function.settings, function.name


def test_a_planted_trigger_has_the_owners_rights_for_every_caller(
    bare: Database, roles: dict[str, str]
) -> None:
    install(bare, roles)
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
    owner = log_in(bare, roles, "owner")
    owner.execute(
        "create table public.seen (who name, what name);"
        "grant insert on public.seen to public;"
        "create function public.see() returns trigger language plpgsql as"
        " 'begin insert into public.seen values (current_user, tg_name); return new; end'"
    )
    for name, statement in planted.items():
        owner.execute(statement.format(name))

    for kind in ("superuser", "owner", "execute"):
        session = log_in(bare, roles, kind)
        bare.enrollment(bare.class_())
        for call in (
            "select enrollments_backfilled from public.activate_scheduled_classes()",
            "select enrollments_reverted from class_activation.revert({last_run})",
        ):
            last_run = bare.value("select max(id) from class_activation.runs")
            assert session.execute(call.format(last_run=last_run)).fetchall() == [(1,)]
            seen = bare.rows("delete from public.seen returning who, what")
            assert {row.what for row in seen} == set(planted), (kind, call)
            # for any other caller it runs at commit: as the caller, from PostgreSQL 18 on as the owner
            deferred = {row.who for row in seen if row.what.startswith("deferred")}
            as_caller = kind == "execute" and bare.connection.info.server_version < 180000
            assert deferred == {roles["execute" if as_caller else "owner"]}, (kind, call)
            others = {row.who for row in seen if not row.what.startswith("deferred")}
            assert others == {roles["owner"]}, (kind, call)
            assert bare.last_run().called_by == roles[kind]


CAPTURED = "language plpgsql as $$ begin raise 'captured'; end $$"

# each would be taken for the job's, the platform's or PostgreSQL's own, were the search path the caller's
PLANTED = {
    "temporary tables": """
        do $$
        declare
          v_name name;
        begin
          for v_name in
            select relname from pg_class
            where relnamespace in ('public'::regnamespace, 'class_activation'::regnamespace) and relkind = 'r'
          loop
            execute format('create temporary table %I ()', v_name);
          end loop;
        end $$
    """,
    # some as PostgreSQL has them, some that fit even better
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
def test_what_another_role_has_planted_captures_nothing(db: Database, platform: Database, kind: str) -> None:
    deploy("upgrade", "head", database=platform.name, x=OFF)
    for database in (db, platform):
        database.enrollment(database.class_())
        database.class_(start_dt="2999-01-01")
        database.class_(database.facility("Mars/Phobos"))

    platform.execute(PLANTED[kind])
    platform.execute("set search_path = pg_temp, public, pg_catalog")

    for question in QUESTIONS:
        assert platform.rows(question) == db.rows(question)


def test_a_schema_cron_that_is_not_pg_crons_is_not_asked(db: Database) -> None:
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
        # Alembic would ask it for the revision
        (
            f"""
            create schema class_activation;
            create function public.captured() returns text {CAPTURED};
            create view class_activation.alembic_version as select public.captured() as version_num;
            """,
            "schema class_activation",
        ),
    ],
)
def test_a_name_that_another_role_has_taken_is_refused(
    platform: Database, role: str, taken: str, named: str
) -> None:
    platform.execute(f"grant create on database {platform.name} to {role}")
    platform.execute(f"grant create on schema public to {role}")
    platform.connect(user=role, password="secret").execute(taken)
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=OFF)

    assert process.returncode != 0
    assert named in process.stderr
    assert "Nothing was" in process.stderr
    assert platform.catalog() == before


def test_an_empty_schema_is_not_taken_for_this_one_even_if_the_owner_made_it(platform: Database) -> None:
    platform.execute("create schema class_activation")
    before = platform.catalog()

    process = alembic("upgrade", "head", database=platform.name, x=OFF)

    assert process.returncode != 0
    assert "class_activation in database" in process.stderr
    assert "rename it" in process.stderr
    assert platform.catalog() == before
