-- After the functions of sql/ were created or replaced: what belongs to them besides their definition.
do $do$
declare
  v_owner constant regrole := current_setting('class_activation.owner')::oid;
  v_before constant jsonb := current_setting('class_activation.before');
  v_functions constant oid[] := array(select to_regprocedure(f) from unnest(array[{functions}]) f);
  v_ours constant oid[] := v_functions
    || array(select to_regclass(t)::oid from unnest(array[{tables}]) t)
    || array(select to_regnamespace(s)::oid from unnest(array[{schemas}]) s);
  v_statement text;
begin
  foreach v_statement in array array(
    -- what an earlier release had and this one has not
    select format('drop %s', o.name)
    from class_activation.installed_objects i
    join class_activation.objects() o on o.name = i.name
    where o.kind = 'function'
      and o.oid <> all (v_functions)

    union all
    -- the job has the rights of the platform's owner and never more, whichever role deploys
    select format('alter %s owner to %s', o.name, v_owner)
    from class_activation.objects() o
    where o.oid = any (v_ours)
      and o.kind in ('schema', 'table', 'function')
      and o.owner <> v_owner
  ) loop
    execute v_statement;
  end loop;

  foreach v_statement in array array(
    -- Default privileges may have opened what was created just now. Those for reading let a backup go on, and stay.
    select format('revoke %s on %s from %s', string_agg(a.privilege_type, ', '), o.name,
      case when a.grantee = 0 then 'public' else a.grantee::regrole::text end)
    from class_activation.objects() o
    cross join lateral aclexplode(
      coalesce(o.acl, acldefault((case o.kind when 'function' then 'f' else 'r' end)::"char", o.owner))
    ) a
    where o.oid = any (v_ours)
      and o.kind in ('schema', 'table', 'sequence', 'function')
      and a.grantee <> o.owner
      and (
        a.grantee = 0 and o.kind = 'function'
        or (v_before #>> array[o.name, 'oid'])::oid is distinct from o.oid and (o.kind, a.privilege_type) not in (
          ('schema', 'USAGE'), ('sequence', 'SELECT'), ('table', 'SELECT'))
      )
    group by o.name, a.grantee

    union all
    -- a dump may have been restored without it
    select format('grant usage on schema %I to public', s)
    from unnest(array[{schemas}]) s
    where not has_schema_privilege('public', s, 'usage')
  ) loop
    execute v_statement;
  end loop;

  foreach v_statement in array array(
    -- what was granted on a function that had to be dropped
    select format('grant execute on %s to %s', o.name, a.grantee::regrole)
      || case when a.is_grantable then ' with grant option' else '' end
    from class_activation.objects() o
    cross join lateral aclexplode((v_before #>> array[o.name, 'acl'])::aclitem[]) a
    where o.oid = any (v_functions)
      and o.oid <> (v_before #>> array[o.name, 'oid'])::oid
      and a.grantee not in (0, o.owner)
  ) loop
    execute v_statement;
  end loop;
end;
$do$;
