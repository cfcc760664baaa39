-- Without waiting for a lock: xmax of a row is the transaction that has locked it, and each transaction holds a lock on
-- its own id. If several have locked a row, xmax is a multixact.
create or replace function class_activation_internal.lock_holders(p_class_ids integer[])
returns table (class_id integer, holder text, fix text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set row_security = off
as $function$
declare
  v_class_id integer;
  v_xid xid;
  v_xids xid[];
begin
  for v_class_id, v_xid in execute class_activation_internal.platform_sql($sql$
    select c.id, c.xmax as xid from {classes} c where c.id = any ($1) and c.xmax <> '0'
    union
    select e.{class_column}, e.xmax
    from {enrollments} e
    where e.{class_column} = any ($1)
      and e.enrollment_status = 'Enrolled'
      and num_nulls(e.enrolled_at, e.deleted_at) = 2
      and e.xmax <> '0'
  $sql$) using p_class_ids
  loop
    v_xids := array[v_xid];
    if not exists (select from pg_lock_status() l where l.transactionid = v_xid) then
      begin
        v_xids := array(select m.xid from pg_get_multixact_members(v_xid) m);
      exception when others then
        -- not a multixact, but the id of a transaction that has ended
        continue;
      end;
    end if;
    return query
    select distinct v_class_id,
      coalesce(format('process %s of role %s', l.pid, a.rolname), format('the prepared transaction %L', p.gid)),
      coalesce(format('select pg_terminate_backend(%s);', l.pid), format('rollback prepared %L;', p.gid))
    from pg_lock_status() l
    left join lateral (
      select pg_get_userbyid(s.usesysid) as rolname from pg_stat_get_activity(l.pid) s
    ) a on l.pid is not null
    left join pg_prepared_xact() p on p.transaction = l.transactionid
    where l.transactionid = any (v_xids)
      and l.mode = 'ExclusiveLock'
      and l.granted
      and (l.pid is not null or p.gid is not null);
  end loop;
end;
$function$;

comment on function class_activation_internal.lock_holders(integer[]) is
'Part of doctor: which sessions or prepared transactions have locked p_class_ids or their pending enrollments, and the
statement that ends them.';
