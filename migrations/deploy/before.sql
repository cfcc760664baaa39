-- What is there before the deployment, so that only what it creates itself is closed afterwards.
insert into pg_temp.objects_before
select n.oid from pg_namespace n where n.nspname = 'class_activation'
union all
select c.oid from pg_class c where c.relnamespace = to_regnamespace('class_activation')
union all
select p.oid from pg_proc p where p.pronamespace in ('public'::regnamespace, to_regnamespace('class_activation'));
