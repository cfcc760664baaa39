-- One deployment at a time. What is read after the lock is what the deployment before has committed.
do $do$
begin
  -- which exists from PostgreSQL 17 on
  perform set_config('transaction_timeout', '0', true) where current_setting('transaction_timeout', true) is not null;
  set local lock_timeout = '{lock_wait}';
  perform pg_advisory_xact_lock(hashtext('class_activation'), hashtext('deployment'));
  set local lock_timeout = '4s';
exception when lock_not_available then
  raise exception using
    errcode = '55P03',
    message = 'another deployment of class activation has been running for more than {lock_wait}',
    hint = 'Nothing was changed. Find it: select a.* from pg_locks l join pg_stat_activity a using (pid)'
      || ' where l.locktype = ''advisory''; Let it finish or end it, then repeat.';
end;
$do$;
