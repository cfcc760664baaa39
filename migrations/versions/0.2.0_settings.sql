-- What a run writes first, so that none meets a deadlock with what follows.
lock table class_activation.runs in access exclusive mode;

-- One row: how the job is scheduled.
create table class_activation.settings (
  only_row boolean primary key default true check (only_row),
  schedule text not null default '*/15 * * * *',
  not_before time not null default '05:00',
  cron_database name,
  active boolean
);

-- What a deployment has installed, so that the next one and doctor know what changed since.
create table class_activation.installed_objects (
  name text primary key,
  definition text,
  acl aclitem[]
);

create table class_activation.late_enrollments (
  run_id bigint not null,
  class_id integer not null,
  enrollment_ids integer[] not null,
  enrolled_at timestamptz[] not null,
  updated_at timestamptz[] not null,
  update_user_id integer[] not null,
  primary key (run_id, class_id)
);

create index late_enrollments_class_id_idx on class_activation.late_enrollments (class_id);

alter table class_activation.activations
  add column enrollment_ids integer[],
  add column enrolled_at timestamptz[],
  add column updated_at timestamptz[],
  add column update_user_id integer[];

alter table class_activation.held_back rename to holds;
alter index class_activation.held_back_pkey rename to holds_pkey;
alter table class_activation.holds
  add column start_dt date,
  add column status text not null default 'Scheduled';
alter table class_activation.holds alter column status drop default;

-- What release 0.1.0 has left: its functions, its schedule, and what revert recognised by updated_at.
do $do$
declare
  v_classes constant text := coalesce(to_regclass('public.program_class_cohorts'), to_regclass('public.program_classes'));
  v_class_key constant text := case
    when to_regclass('public.program_class_cohorts') is null then 'class_id'
    else 'cohort_id'
  end;
  v_author constant integer := (
    select min(u.id) from public.users u where u.username = 'system_batch' and u.deleted_at is null
  );
  v_comment constant text := obj_description('class_activation'::regnamespace, 'pg_namespace');
  v_elsewhere constant text := ' Its pg_cron job is in another database, from which alembic removes it with -x cron_url.';
  v_job record;
begin
  insert into class_activation.installed_objects (name, acl)
  select format('function %s', p.oid::regprocedure), p.proacl
  from unnest(array[
    'public.activate_scheduled_classes(timestamptz, time, integer)',
    'class_activation.activate_batch(bigint, integer[], timestamptz, time, integer)',
    'class_activation.batch_user()',
    'class_activation.doctor()',
    'class_activation.doctor_installation()',
    'class_activation.doctor_pg_cron()',
    'class_activation.doctor_platform()',
    'class_activation.health(time, interval)',
    'class_activation.is_held_back(integer)',
    'class_activation.job(text, time)',
    'class_activation.may_use_pg_cron()',
    'class_activation.platform_gaps()',
    'class_activation.preview(timestamptz, time)',
    'class_activation.prune()',
    'class_activation.recently_activated(integer[])',
    'class_activation.record_problem(integer, text, text)',
    'class_activation.revert(bigint, integer[])',
    'class_activation.rule(date, text, timestamptz, time)',
    'class_activation.schedule(text, time)',
    'class_activation.scheduled_classes(timestamptz, time, integer[], date)',
    'class_activation.unschedule()',
    'class_activation.waiting_enrollments(integer[])'
  ]) s (signature)
  join pg_proc p on p.oid = to_regprocedure(s.signature);
  if not found then
    insert into class_activation.settings default values;
    return;
  end if;
  -- they return other columns now
  drop function if exists class_activation.revert(bigint, integer[]);
  drop function if exists class_activation.activate_batch(bigint, integer[], timestamptz, time, integer);

  execute format(
    $sql$
      update class_activation.activations a
      set enrollment_ids = array(
          select e.id
          from public.program_class_enrollments e
          where e.%I = a.class_id
            and (e.enrolled_at, e.updated_at, e.update_user_id) = (r.as_of, a.activated_at, $1)
        ),
        enrolled_at = array[r.as_of],
        updated_at = array[a.activated_at],
        update_user_id = array[$1]
      from class_activation.runs r
      where r.id = a.run_id
    $sql$,
    v_class_key
  )
  using v_author;
  execute format('update class_activation.holds h set start_dt = c.start_dt from %s c where c.id = h.class_id', v_classes);

  if v_comment like '%' || v_elsewhere then
    -- its name, and the schedule, are read when -x cron_url is given
    insert into class_activation.settings (cron_database, active) values ('', true);
    execute format('comment on schema class_activation is %L', replace(v_comment, v_elsewhere, ''));
    return;
  end if;

  insert into class_activation.settings (active) values (false);
  if exists (select from pg_extension e where e.extname = 'pg_cron') and has_schema_privilege('cron', 'usage') then
    -- of several the owner's; an active one is scheduled anew by the deployment
    select j.schedule, j.active, substring(j.command from 'p_not_before => ''([0-9:.]+)''')::time as not_before
    into v_job
    from cron.job j
    where j.jobname = 'activate_scheduled_classes'
      and j.database = current_database()
    order by j.active desc, j.jobid
    limit 1;
    if found then
      update class_activation.settings s
      set schedule = v_job.schedule,
        not_before = coalesce(v_job.not_before, s.not_before),
        active = case when v_job.active then null else false end;
    end if;
  end if;
end;
$do$;
