-- After a downgrade to base, or a first install that failed, nothing of the schema is left but
-- Alembic's empty version table: it goes too.

do $do$
begin
  if to_regclass('class_activation.alembic_version') is not null then
    if exists (select from class_activation.alembic_version) then
      return;
    end if;
    perform set_config('search_path', current_setting('class_activation.search_path'), true);
    drop table class_activation.alembic_version;
  end if;
  perform set_config('search_path', current_setting('class_activation.search_path'), true);
  drop schema if exists class_activation;
  set local search_path = pg_catalog, pg_temp;
end;
$do$;
