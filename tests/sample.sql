-- A platform on an ordinary day: six facilities in the six zones that its screens offer, 360 classes
-- that start between three weeks ago and three weeks from now, and the residents enrolled in them.

insert into public.facilities (name, timezone, created_at) values
  ('Albany', 'America/New_York', now()), ('Joliet', 'America/Chicago', now()), ('Pueblo', 'America/Denver', now()),
  ('Yuma', 'America/Phoenix', now()), ('Fresno', 'America/Los_Angeles', now()), ('Kenai', 'America/Anchorage', now());

insert into public.programs (name, is_active, created_at)
select name, true, now()
from unnest(array['Welding', 'Reading Circle', 'Carpentry', 'Parenting', 'Algebra', 'Horticulture']) name;

insert into public.users (username, name_first, name_last, email, role, facility_id, created_at)
select format('resident%s', i), 'Resident', i::text, format('resident%s@example.org', i), 'student', 1 + i % 6, now()
from generate_series(1, 240) i;

-- those that start today are still Scheduled: activating them is up to the job
insert into public.program_classes
  (program_id, facility_id, name, instructor_name, capacity, credit_hours, start_dt, end_dt, status, created_at, updated_at)
select p.id, f.id, format('%s %s', p.name, i), 'Instructor', 20, 12, d.start_dt, d.start_dt + 90,
  case when i % 19 = 0 then 'Cancelled' when i % 23 = 0 then 'Paused' when d.start_dt < current_date - 1 then 'Active'
    else 'Scheduled' end::public.class_status,
  now() - interval '60 days', now() - interval '60 days'
from generate_series(1, 360) i
cross join lateral (select current_date - 21 + i % 43 as start_dt) d
join public.facilities f on f.id = 1 + i % 6
join public.programs p on p.id = 1 + i / 6 % 6;

insert into public.program_class_enrollments
  (class_id, user_id, enrollment_status, enrolled_at, enrollment_ended_at, created_at, updated_at)
select c.id, u.id, s.enrollment_status,
  case when c.status = 'Active' then c.start_dt + time '10:00' end,
  case when s.enrollment_status <> 'Enrolled' then now() - interval '5 days' end,
  now() - interval '30 days', now() - interval '30 days'
from public.program_classes c
join public.users u on u.facility_id = c.facility_id and (u.id + c.id) % 5 = 0
cross join lateral (
  select case when (u.id + c.id) % 35 = 0 then 'Incomplete: Withdrawn' else 'Enrolled' end) s (enrollment_status);
