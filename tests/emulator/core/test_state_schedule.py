from flyasync.emulator.core.state_schedule import StateSchedule


def test_states_follow_one_another_by_themselves() -> None:
    schedule = StateSchedule.start(10, "creating").then(2, "restoring").then(3, "created")
    assert [schedule.state(now) for now in (0, 10, 11.9, 12, 14, 15, 99)] == [
        "creating", "creating", "creating", "restoring", "restoring", "created", "created",
    ]  # fmt: skip
    assert [schedule.since(now) for now in (11, 13, 99)] == [10, 12, 15]


def test_a_course_is_not_changed_by_what_is_added() -> None:
    begun = StateSchedule.start(0, "creating")
    begun.then(1, "created")
    assert begun.state(5) == "creating"
