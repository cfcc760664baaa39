-- The only place that finds the platform's tables by name. A relation counts if it is a table whose owner has the rights
-- of the owner of schema class_activation anyway: that role, its members, superusers. A relation of any other role is
-- ignored. "only", because a child made by inheritance may repeat ids.
create or replace function class_activation_internal.platform_sql(p_template text)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $function$
declare
  v_sources jsonb;
  v_class_tables text[];
  v_required constant text[] := array['facilities', 'program_class_enrollments', 'program_classes_history', 'users'];
  v_class_name text := 'null::text';
begin
  select coalesce(jsonb_object_agg(c.relname, case c.relkind when 'r' then 'only ' else '' end || 'public.' || c.relname), '{}')
  into v_sources
  from pg_namespace n
  join pg_class c on pg_has_role(c.relowner, n.nspowner, 'usage')
  where n.nspname = 'class_activation'
    and c.relnamespace = 'public'::regnamespace
    and c.relname in (
      'change_log_entries', 'facilities', 'program_class_cohorts', 'program_class_enrollments', 'program_classes',
      'program_classes_history', 'users'
    )
    and c.relkind in ('r', 'p');

  v_class_tables := array_remove(array[
    case when v_sources ? 'program_classes' then 'program_classes' end,
    case when v_sources ? 'program_class_cohorts' then 'program_class_cohorts' end
  ], null);
  if cardinality(v_class_tables) = 2 then
    -- with cohorts, the tier above them is a second table
    v_class_tables := array(
      select t.name
      from unnest(v_class_tables) t (name)
      join pg_attribute a on a.attrelid = to_regclass('public.' || t.name) and a.attname = 'status' and not a.attisdropped
    );
  end if;
  if not v_sources ?& v_required or cardinality(v_class_tables) <> 1 then
    raise exception using errcode = '55000',
      message = format('unsupported platform schema in database %I: ', current_database()) || case
        when v_sources ?& v_required and v_class_tables <> '{}' then
          'public.program_classes and public.program_class_cohorts both have a column status'
        else (
          select format('role %s has no table ', n.nspowner::regrole) || coalesce((
            select string_agg('public.' || t.name, ', ') from unnest(v_required) t (name) where not v_sources ? t.name
          ), 'of classes with a column status')
          from pg_namespace n where n.nspname = 'class_activation'
        )
      end,
      hint = 'Nothing was changed. select * from class_activation.doctor() shows what is missing; class activation knows'
        || ' two shapes of the platform, with and without cohorts, and does not guess between two tables of classes.';
  end if;
  if p_template like '%{class_name}%' then
    -- With cohorts, the tier of classes may belong to another role. Reading it must run no code of that role, and a
    -- name that the owner may not read must not fail a run.
    if v_class_tables = array['program_classes'] then
      v_class_name := 'c.name::text';
    elsif exists (
      select from pg_class t
      where t.oid = to_regclass('public.program_classes') and has_table_privilege(t.oid, 'select') and (
        v_sources ? 'program_classes'
        or t.relkind = 'r' and not (t.relrowsecurity or t.relhassubclass)
          and not exists (select from pg_index i where i.indrelid = t.oid and num_nulls(i.indexprs, i.indpred) < 2)
          and not exists (
            select from pg_attribute a join pg_type y on y.oid = a.atttypid
            where a.attrelid = t.oid and a.attname in ('id', 'name') and y.typnamespace <> 'pg_catalog'::regnamespace
          )
      )
    ) then
      v_class_name := '(select t.name::text from public.program_classes t where t.id = c.class_id limit 1)';
    end if;
    p_template := replace(p_template, '{class_name}', v_class_name);
  end if;
  if p_template like '%{change_log}%' and not v_sources ? 'change_log_entries' then
    return null;
  end if;
  -- one expression, because PL/pgSQL plans each separately in a new session
  return replace(replace(replace(replace(replace(replace(replace(replace(replace(p_template,
    '{classes}', v_sources ->> v_class_tables[1]),
    '{class_table}', v_class_tables[1]),
    '{class_column}', case v_class_tables[1] when 'program_classes' then 'class_id' else 'cohort_id' end),
    '{pending}', 'enrollment_status operator(pg_catalog.=) ''Enrolled'' and'
      || ' pg_catalog.num_nulls(enrolled_at, deleted_at) operator(pg_catalog.=) 2'),
    '{enrollments}', v_sources ->> 'program_class_enrollments'),
    '{facilities}', v_sources ->> 'facilities'),
    '{history}', v_sources ->> 'program_classes_history'),
    '{users}', v_sources ->> 'users'),
    '{change_log}', 'public.change_log_entries');
end;
$function$;
comment on function class_activation_internal.platform_sql(text) is
'The statement p_template with the names that the platform''s tables have in this database:
  {classes}         the table that carries the status, and {class_table}, its bare name, as history and change log have it
  {class_column}    the column of an enrollment that refers to it
  {pending}         the condition for an enrollment that still needs its enrolled_at
  {class_name}      an expression for the name that people see; {classes} must have the alias c
  {enrollments}, {facilities}, {history}, {users}
  {change_log}      the result is null if the platform has no change log
Errors: 55000 the platform has neither of the two known shapes, or two tables with a status.';
