-- After the functions of sql/ were created or replaced: what belongs to them besides their definition.
do $do$
declare
  v_owner constant regrole := current_setting('class_activation.owner')::oid;
  v_before constant jsonb := current_setting('class_activation.before');
  v_functions constant oid[] := array(select to_regprocedure(f) from unnest(array[{functions}]) f);
  v_statement text;
begin
  foreach v_statement in array array(
    with installed as (
      select o.*, (v_before #>> array[o.name, 'oid'])::oid is distinct from o.oid as created
      from class_activation_internal.objects() o
      where o.kind = 'schema'
        or o.oid = any (v_functions)
        or o.kind <> 'comment' and o.oid in (select to_regclass(t) from unnest(array[{tables}]) t)
    ), statement (position, text) as (
      -- what an earlier release had and this one has not
      select 1, format('drop %s', o.name)
      from class_activation.installed_objects i
      join class_activation_internal.objects() o on o.name = i.name
      where o.kind = 'function'
        and o.oid <> all (v_functions)

      union all
      -- the job has the rights of the platform's owner and never more, whichever role deploys
      select 2, format('alter %s owner to %s', o.name, v_owner)
      from installed o
      where o.owner <> v_owner
        and o.kind <> 'sequence'

      union all
      -- Default privileges may have opened what was created just now. Those for reading let a backup go on, and stay.
      select 3, format('revoke %s on %s from %s', string_agg(a.privilege_type, ', '), o.name,
        case when a.grantee = 0 then 'public' else a.grantee::regrole::text end)
      from installed o
      cross join lateral aclexplode(coalesce(o.acl, case when o.kind = 'function' then acldefault('f', o.owner) end)) a
      where a.grantee not in (o.owner, v_owner)
        and (
          a.grantee = 0 and o.kind = 'function'
          or o.created and (o.kind, a.privilege_type) not in (
            ('schema', 'USAGE'), ('sequence', 'SELECT'), ('table', 'SELECT'))
        )
      group by o.name, a.grantee

      union all
      -- what was granted on a function that had to be dropped
      select 4, format('grant execute on %s to %s', o.name, a.grantee::regrole)
        || case when a.is_grantable then ' with grant option' else '' end
      from installed o
      cross join lateral aclexplode((v_before #>> array[o.name, 'acl'])::aclitem[]) a
      where o.kind = 'function'
        and o.created
        and a.grantee not in (0, v_owner)

      union all
      -- a dump may have been restored without it
      select 5, format('grant usage on %s to public', o.name)
      from installed o
      where o.kind = 'schema'
        and not has_schema_privilege('public', o.oid, 'usage')
    )
    select s.text from statement s order by s.position
  ) loop
    execute v_statement;
  end loop;
end;
$do$;
