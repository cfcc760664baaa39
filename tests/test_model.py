"""The job against a model: Hypothesis generates histories, and the database must agree after each step.

Longer, by hand: make test PYTEST='tests/test_model.py --hypothesis-profile=long'
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from harness import US_ZONES, Database
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

EARLIEST = "Pacific/Kiritimati"  # the first zone of each day
ZONES = [*US_ZONES, "Asia/Kathmandu", "Australia/Sydney", EARLIEST]
NO_ZONES = ["Mars/Phobos", ""]
# the clock goes forward in Chicago on one of them, and back in Sydney on another
DAYS = [date(2026, month, day) for month, first in ((3, 7), (4, 4)) for day in range(first, first + 3)]


@dataclass
class Facility:
    timezone: str
    deleted_at: datetime | None = None


@dataclass
class Class:
    facility_id: int
    start_dt: date | None
    status: str = "Scheduled"
    archived_at: datetime | None = None
    deleted_at: datetime | None = None
    capacity: int | None = None
    # not in the row: the run that wrote it last, None if staff did; whether it is on hold; the hour of each
    # activation that was not reverted, by run; the runs that backfilled it later; its changes of status
    written_by: int | None = None
    on_hold: bool = False
    activated: dict[int, int] = field(default_factory=dict)
    backfilled: list[int] = field(default_factory=list)
    history: list[str] = field(default_factory=list)

    def is_live(self, status: str) -> bool:
        """Return whether it has that status and is neither archived nor deleted."""
        return self.status == status and not self.archived_at and not self.deleted_at


@dataclass
class Enrollment:
    class_id: int
    enrollment_status: str = "Enrolled"
    enrolled_at: datetime | None = None
    deleted_at: datetime | None = None
    written_by: int | None = None

    def is_pending(self) -> bool:
        """Return whether a resident is enrolled and has no enrolled_at yet."""
        return self.enrollment_status == "Enrolled" and not self.enrolled_at and not self.deleted_at


class Model:
    """The job, in Python."""

    def __init__(self) -> None:
        self.facilities: dict[int, Facility] = {}
        self.classes: dict[int, Class] = {}
        self.enrollments: dict[int, Enrollment] = {}
        self.problems: list[int] = []
        self.hour = 0

    def evaluate(self, as_of: datetime, not_before: time) -> tuple[list[int], set[int]]:
        """Return the classes that are due, earliest first, and those that may be due in an unknown zone.

        A Scheduled class is due from not_before on its start date, local time, unless it is on hold.
        """
        due: dict[int, datetime] = {}
        unknown: set[int] = set()
        for class_id, class_ in self.classes.items():
            facility = self.facilities[class_.facility_id]
            if not class_.is_live("Scheduled") or class_.start_dt is None or facility.deleted_at:
                continue
            is_known = facility.timezone in ZONES
            zone = ZoneInfo(facility.timezone if is_known else EARLIEST)
            start = datetime.combine(class_.start_dt, not_before)
            if class_.on_hold or start > as_of.astimezone(zone).replace(tzinfo=None):
                continue
            if is_known:
                due[class_id] = start.replace(tzinfo=zone).astimezone(UTC)
            else:
                unknown.add(class_id)
        return sorted(due, key=lambda class_id: (due[class_id], class_id)), unknown

    def pending(self, class_id: int) -> int:
        """Return the number of pending enrollments in the class."""
        return sum(e.class_id == class_id and e.is_pending() for e in self.enrollments.values())

    def run(
        self, run_id: int, as_of: datetime, not_before: time, max_classes: int | None, activated_at: dict
    ) -> list[tuple[int, int]]:
        """Activate the due classes, backfill, and return the classes with the number of enrollments of each.

        Classes that failed before come last. Late enrollments of a class activated less than a day ago are
        backfilled too, but never with a time before its activation.
        """
        due, unknown = self.evaluate(as_of, not_before)
        late = [
            class_id
            for class_id, class_ in self.classes.items()
            if class_.is_live("Active")
            and self.pending(class_id)
            and any(self.hour - hour < 24 for hour in class_.activated.values())
        ]
        tried = {class_id: turn for turn, class_id in enumerate(self.problems, 1)}
        in_turn = sorted(due, key=lambda class_id: tried.get(class_id, 0))
        chosen = in_turn[:max_classes]
        activated = [(class_id, self.pending(class_id)) for class_id in due if class_id in chosen]
        for class_id, _ in activated:
            class_ = self.classes[class_id]
            self.write(class_, run_id, status="Active")
            class_.on_hold = False
            class_.activated[run_id] = self.hour
            self.backfill(class_id, run_id, as_of)
        for class_id in late:
            self.backfill(class_id, run_id, max(as_of, activated_at[class_id]))
            self.classes[class_id].backfilled.append(run_id)
        left = unknown.union(in_turn[len(chosen) :]).intersection(self.problems)
        self.problems = sorted(left, key=self.problems.index) + sorted(unknown - left)
        return activated

    def backfill(self, class_id: int, run_id: int, enrolled_at: datetime) -> None:
        """Set enrolled_at of the pending enrollments of the class."""
        for enrollment in self.enrollments.values():
            if enrollment.class_id == class_id and enrollment.is_pending():
                self.write(enrollment, run_id, enrolled_at=enrolled_at)

    def revert(self, run_id: int, class_ids: list[int] | None, reverting: int) -> list[tuple[int, int]]:
        """Undo the run, with its late enrollments, for those classes, and put them on hold."""
        reverted = {
            class_id: 0
            for class_id, class_ in sorted(self.classes.items())
            if class_.is_live("Active")
            and class_.written_by == run_id
            and (class_ids is None or class_id in class_ids)
        }
        for enrollment in self.enrollments.values():
            later = [id_ for id_ in self.classes[enrollment.class_id].backfilled if id_ > run_id]
            if enrollment.class_id in reverted and enrollment.written_by in [run_id, *later]:
                self.write(enrollment, reverting, enrolled_at=None)
                reverted[enrollment.class_id] += 1
        for class_id in reverted:
            class_ = self.classes[class_id]
            self.write(class_, reverting, status="Scheduled")
            class_.on_hold = True
            del class_.activated[run_id]
        return list(reverted.items())

    def write(self, row: Class | Enrollment, run_id: int | None, **columns: Any) -> None:
        """Write a row; a new status or start date of a class ends its hold."""
        before = {**vars(row)}
        vars(row).update(columns, written_by=run_id)
        if isinstance(row, Class):
            row.history.append(f"{before['status']} -> {row.status}")
            row.on_hold &= (before["status"], before["start_dt"]) == (row.status, row.start_dt)


def change(**values: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of one column and a new value."""
    return st.sampled_from([{name: value} for name in values for value in values[name]])


FACILITIES = st.sampled_from([1, 2, 3])
LATER = st.sampled_from([timedelta(0), timedelta(microseconds=-1), timedelta(days=1)])
START_DATES = st.sampled_from([*DAYS, None])
NOT_BEFORE = st.sampled_from([time(5), time(0)])
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
ENROLLMENTS = change(
    enrollment_status=["Enrolled", "Incomplete: Withdrawn"],
    enrolled_at=[None, LONG_AGO],
    deleted_at=[None, LONG_AGO],
)
# each writer leaves one of these traces
TRACES = st.sampled_from(["updated_at = now()", "update_user_id = 1"])


class Platform(RuleBasedStateMachine):
    """Staff, residents, the clock and the job; each step happens in the database and in the model."""

    classes = Bundle("classes")
    runs = Bundle("runs")

    def __init__(self, db: Database) -> None:
        super().__init__()
        self.db = db
        self.model = Model()
        self.as_of = datetime(2026, 5, 1, tzinfo=UTC)

    @initialize(
        target=classes,
        zones=st.tuples(*[st.sampled_from(ZONES)] * 3),
        plans=st.lists(st.tuples(FACILITIES, START_DATES, ENROLLMENTS), min_size=2, max_size=3),
    )
    def begin(self, zones: tuple[str, ...], plans: list[tuple[Any, ...]]) -> MultipleResults[int]:
        self.db.execute(
            """
            truncate public.facilities, public.program_classes, public.program_class_enrollments,
              public.program_classes_history, class_activation.runs, class_activation.activations,
              class_activation.problems, class_activation.holds, public.change_log_entries
            restart identity
            """
        )
        for zone in zones:
            self.model.facilities[self.db.facility(zone)] = Facility(zone)
        return multiple(*[self.create_class(*plan) for plan in plans])

    # a few, so that each has a long history
    @precondition(lambda self: len(self.model.classes) < 4)
    @rule(target=classes, facility_id=FACILITIES, start_dt=START_DATES, second=ENROLLMENTS)
    def create_class(self, facility_id: int, start_dt: date | None, second: dict[str, Any]) -> int:
        class_id = self.db.class_(facility_id, start_dt, program_id=1)
        self.model.classes[class_id] = Class(facility_id, start_dt)
        self.enroll(class_id, {})
        self.enroll(class_id, second)
        return class_id

    @rule(
        class_id=classes,
        columns=change(
            status=["Scheduled", "Active", "Cancelled", "Paused"],
            facility_id=[1, 2, 3],
            archived_at=[None, LONG_AGO],
            deleted_at=[None, LONG_AGO],
            capacity=[9],
        ),
        trace=TRACES,
    )
    def change_class(self, class_id: int, columns: dict[str, Any], trace: str) -> None:
        self.update("program_classes", class_id, columns, trace)
        self.model.write(self.model.classes[class_id], None, **columns)

    @rule(class_id=classes, start_dt=START_DATES, trace=TRACES)
    def schedule_again(self, class_id: int, start_dt: date | None, trace: str) -> None:
        self.change_class(class_id, {"status": "Scheduled", "start_dt": start_dt}, trace)

    @rule(class_id=classes, columns=ENROLLMENTS)
    def enroll(self, class_id: int, columns: dict[str, Any]) -> None:
        enrollment_id = self.db.enrollment(class_id, user_id=1, **columns)
        self.model.enrollments[enrollment_id] = Enrollment(class_id, **columns)

    @rule(class_id=classes, pick=st.sampled_from([min, max]), columns=ENROLLMENTS, trace=TRACES)
    def change_enrollment(self, class_id: int, pick: Callable, columns: dict[str, Any], trace: str) -> None:
        enrollment_id = pick(id_ for id_, e in self.model.enrollments.items() if e.class_id == class_id)
        self.update("program_class_enrollments", enrollment_id, columns, trace)
        self.model.write(self.model.enrollments[enrollment_id], None, **columns)

    @rule(facility_id=FACILITIES, columns=change(timezone=ZONES + NO_ZONES * 2, deleted_at=[None, LONG_AGO]))
    def change_facility(self, facility_id: int, columns: dict[str, Any]) -> None:
        self.update("facilities", facility_id, columns, "updated_at = now()")
        vars(self.model.facilities[facility_id]).update(columns)

    def update(self, table: str, row_id: int, columns: dict[str, Any], trace: str) -> None:
        values = "".join(f"{name} = %s, " for name in columns)
        self.db.execute(f"update public.{table} set {values}{trace} where id = %s", *columns.values(), row_id)

    @rule(class_id=classes, local=NOT_BEFORE, later=LATER)
    def a_class_is_about_to_start(self, class_id: int, local: time, later: timedelta) -> None:
        class_ = self.model.classes[class_id]
        zone = self.model.facilities[class_.facility_id].timezone
        tzinfo = ZoneInfo(zone if zone in ZONES else EARLIEST)
        wall = datetime.combine(class_.start_dt or DAYS[0], local, tzinfo)
        self.as_of = wall.astimezone(UTC) + later

    @rule(hours=st.sampled_from([1, 12]))
    def hours_pass(self, hours: int) -> None:
        """Move all times that the job recorded into the past."""
        self.db.execute(
            f"""
            set session_replication_role = replica;  -- without history
            update class_activation.activations
            set activated_at = activated_at - interval '{hours} hours',
              updated_at_values = array(select u - interval '{hours} hours' from unnest(updated_at_values) u);
            update public.program_classes set updated_at = updated_at - interval '{hours} hours';
            update public.program_class_enrollments set updated_at = updated_at - interval '{hours} hours';
            set session_replication_role = origin;
            """
        )
        self.model.hour += hours

    @rule(not_before=NOT_BEFORE)
    def preview(self, not_before: time) -> None:
        rows = self.db.rows("select * from class_activation.preview(%s, %s)", self.as_of, not_before)

        due, _ = self.model.evaluate(self.as_of, not_before)
        assert [row.class_id for row in rows if row.due] == due
        assert {row.class_id: row.enrollments_to_backfill for row in rows} == {
            class_id: self.model.pending(class_id)
            for class_id, class_ in self.model.classes.items()
            if class_.is_live("Scheduled")
        }

    @rule(target=runs, not_before=NOT_BEFORE, max_classes=st.none() | st.integers(1, 2))
    def run(self, not_before: time, max_classes: int | None) -> int | MultipleResults[int]:
        activated_at = dict(
            self.db.rows(
                "select class_id, max(activated_at) from class_activation.activations"
                " where reverted_by is null group by class_id"
            )
        )
        rows = self.db.run(str(self.as_of), str(not_before), max_classes)

        run_id = self.db.last_run().id
        activated = [(row.class_id, row.enrollments_backfilled) for row in rows]
        assert activated == self.model.run(run_id, self.as_of, not_before, max_classes, activated_at)
        return run_id if activated else multiple()  # only such are worth a revert

    @rule(target=runs, not_before=NOT_BEFORE)
    def run_twice(self, not_before: time) -> int | MultipleResults[int]:
        run_id = self.run(not_before, None)
        assert self.db.run(str(self.as_of), str(not_before)) == []
        return run_id

    @rule(class_id=classes)
    def release(self, class_id: int) -> None:
        released = self.db.value("select class_activation.release(%s)", class_id)

        # a hold that has ended stays in the table until the next run
        assert released or not self.model.classes[class_id].on_hold
        self.model.classes[class_id].on_hold = False

    @rule(run_id=runs, class_ids=st.none() | st.lists(classes, max_size=2))
    def revert(self, run_id: int, class_ids: list[int] | None) -> None:
        rows = self.db.rows("select * from class_activation.revert(%s, %s)", run_id, class_ids)

        reverted = [(row.class_id, row.enrollments_reverted) for row in rows if row.outcome == "reverted"]
        assert reverted == self.model.revert(run_id, class_ids, self.db.last_run().id)

    @invariant()
    def the_classes_agree(self) -> None:
        """An activation is one row of history: the job writes each class once."""
        rows = self.db.rows(
            """
            select c.id, c.status::text, p.class_id is not null as problem, array(
              select concat(h.before_update ->> 'status', ' -> ', h.after_update ->> 'status')
              from public.program_classes_history h
              where h.parent_ref_id = c.id
              order by h.id
            ) as history
            from public.program_classes c
            left join class_activation.problems p on p.class_id = c.id
            """
        )
        assert {row.id: (row.status, row.problem, row.history) for row in rows} == {
            class_id: (class_.status, class_id in self.model.problems, class_.history)
            for class_id, class_ in self.model.classes.items()
        }

    @invariant()
    def the_change_log_has_each_activation_and_each_revert(self) -> None:
        rows = self.db.rows(
            """
            select (parent_ref_id, old_value, new_value) as change, count(*)
            from (
              select parent_ref_id, old_value, new_value from public.change_log_entries
              union all
              select class_id, 'Scheduled', 'Active' from class_activation.activations
              union all
              select class_id, 'Active', 'Scheduled' from class_activation.activations
              where reverted_by is not null
            ) c
            group by 1
            having count(*) % 2 <> 0
            """
        )
        assert rows == []

    @invariant()
    def the_enrollments_agree(self) -> None:
        rows = self.db.rows("select id, enrollment_status, enrolled_at from public.program_class_enrollments")
        assert {row.id: (row.enrollment_status, row.enrolled_at) for row in rows} == {
            enrollment_id: (enrollment.enrollment_status, enrollment.enrolled_at)
            for enrollment_id, enrollment in self.model.enrollments.items()
        }


@pytest.mark.slow
def test_the_database_agrees_with_the_model(db: Database) -> None:
    assert (db.resident(), db.program()) == (1, 1)
    run_state_machine_as_test(lambda: Platform(db))
