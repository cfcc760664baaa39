-- One error names all that the platform lacks.

do $do$
declare
  v_gaps constant text := (select string_agg(g, ', ') from class_activation.platform_gaps() g);
begin
  if v_gaps is not null then
    raise exception using
      errcode = '55000',
      message = format('database %I lacks what class activation needs: %s', current_database(), v_gaps),
      hint = 'Nothing was installed. Is this the database of the platform (-x url=postgresql://...)?'
        || ' Are all of its migrations applied?';
  end if;
end;
$do$;
