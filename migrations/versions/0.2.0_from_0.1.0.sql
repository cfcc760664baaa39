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
  v_comment text := obj_description('class_activation'::regnamespace, 'pg_namespace');
  v_elsewhere constant text := ' Its pg_cron job is in another database, from which alembic removes it with -x cron_url.';

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
  perform set_config('search_path', current_setting('class_activation.search_path'), true);
  drop function if exists class_activation.revert(bigint, integer[]);
  drop function if exists class_activation.activate_batch(bigint, integer[], timestamptz, time, integer);
  set local search_path = pg_catalog, pg_temp;

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

  -- the settings say it now
  if v_comment like '%' || v_elsewhere then
    v_comment := replace(v_comment, v_elsewhere, '');
    perform set_config('search_path', current_setting('class_activation.search_path'), true);
    execute pg_catalog.format('comment on schema class_activation is %L', v_comment);
    set local search_path = pg_catalog, pg_temp;
  end if;

  insert into class_activation.settings default values;
end;
$do$;
