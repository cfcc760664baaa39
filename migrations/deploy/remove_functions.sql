-- The functions of this release go together with its tables, and so do the comments that came with them.
do $do$
declare
  v_statement text;
begin
  foreach v_statement in array array(
    select format('drop function %s', p.oid::regprocedure)
    from class_activation.installed_objects i
    join pg_proc p on i.name = format('function %s', p.oid::regprocedure)
    union all
    select case
        when d.objsubid > 0 then format('comment on column %s.%I is null', c.oid::regclass, a.attname)
        else format('comment on %s %s is null', case c.relkind when 'i' then 'index' else 'table' end, c.oid::regclass)
      end
    from pg_class c
    join pg_description d on d.classoid = 'pg_class'::regclass and d.objoid = c.oid
    left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid
    where c.relnamespace = 'class_activation'::regnamespace
      or c.oid = to_regclass('public.class_activation_due_idx')
  ) loop
    perform set_config('search_path', current_setting('class_activation.search_path'), true);
    execute v_statement;
    set local search_path = pg_catalog, pg_temp;
  end loop;
end;
$do$;
