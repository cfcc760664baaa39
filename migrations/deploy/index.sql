-- The index on the platform's table, as late as possible: from here to the commit its writers wait. Plain columns,
-- no predicate: a predicate on status would block the platform's own changes of its type.
do $do$
declare
  v_table constant regclass := (
    select c.oid
    from pg_class c
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'status' and not a.attisdropped
    where c.oid in (to_regclass('public.program_classes'), to_regclass('public.program_class_cohorts'))
      and c.relkind in ('r', 'p')
      and pg_has_role(c.relowner, current_setting('class_activation.owner')::oid, 'usage')
  );
  v_sessions text;
begin
  if exists (
    select
    from pg_index i
    where i.indexrelid = to_regclass('public.class_activation_due_idx')
      and not i.indisvalid
  ) then
    drop index public.class_activation_due_idx;
  end if;
  if to_regclass('public.class_activation_due_idx') is null then
    execute format('create index class_activation_due_idx on %s (status, start_dt)', v_table);
  end if;
  comment on index public.class_activation_due_idx is
    'Of class_activation: a run finds the Scheduled classes that may be due without reading all others.';
exception when lock_not_available then
  select string_agg(distinct format('%s (%s)', l.pid, a.usename), ', ') into v_sessions
  from pg_locks l
  left join pg_stat_activity a using (pid)
  where l.relation = v_table
    and l.database = (select d.oid from pg_database d where d.datname = current_database())
    and l.granted
    and l.pid <> pg_backend_pid();
  raise exception using
    errcode = '55P03',
    message = format('%s is in use: its index class_activation_due_idx could not be built', v_table),
    detail = format('Sessions that have locked it: %s.', coalesce(v_sessions, 'none any more')),
    hint = 'Nothing was changed. Repeat when their transactions have ended (select pg_terminate_backend(PID); ends one), or'
      || ' first build the index without stopping writers:'
      || format(' create index concurrently class_activation_due_idx on %s (status, start_dt);', v_table);
end;
$do$;
