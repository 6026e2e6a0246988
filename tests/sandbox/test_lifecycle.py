from livepeer_async.sandbox import FailProcessing
from livepeer_async.sandbox.lifecycle import (
    Status,
    find_step,
    make_final_step,
    make_first_step,
    plan_processing,
)


def plan(failure=None):
    steps = [make_first_step(0.0)]
    steps += plan_processing(10.0, waiting=1.0, processing=4.0, failure=failure)
    return [*steps, make_final_step(15.0, failure)]


def test_asset_passes_through_all_phases_on_time():
    steps = plan()
    found = [find_step(steps, now) for now in (-1.0, 0.0, 10.0, 11.0, 12.0, 13.5, 14.9, 15.0, 99.0)]
    assert [(step.asset.phase, step.asset.progress) for step in found] == [
        ("uploading", None),
        ("uploading", None),
        ("waiting", None),
        ("processing", 0.0),
        ("processing", 0.25),
        ("processing", 0.5),
        ("processing", 0.75),
        ("ready", None),
        ("ready", None),
    ]
    assert [step.task.phase for step in found] == [
        "pending",
        "pending",
        "waiting",
        *["running"] * 4,
        "completed",
        "completed",
    ]


def test_final_failure_shows_on_asset_and_task():
    last = find_step(plan(FailProcessing("boom")), 99.0)
    assert last.asset == Status("failed", 15.0, error="boom")
    assert last.task == Status("failed", 15.0, error="boom", retries=0)


def test_retriable_failure_shows_on_task_and_succeeds():
    steps = plan(FailProcessing("boom", retriable=True))
    half = find_step(steps, 13.0)
    assert half.task == Status("waiting", 13.0, error="boom", retries=1)
    assert (half.asset.phase, half.asset.progress, half.asset.error) == ("processing", 0.5, None)
    assert find_step(steps, 14.0).task.phase == "running"
    assert find_step(steps, 15.0).asset.phase == "ready"


def test_progress_never_falls():
    for failure in (None, FailProcessing("x"), FailProcessing("x", retriable=True)):
        shown = [step.asset.progress for step in plan(failure) if step.asset.progress is not None]
        assert shown == sorted(shown)


def test_retried_asset_stays_failed_until_task_ends():
    failed = Status("failed", 15.0, error="boom")
    steps = plan_processing(20.0, waiting=1.0, processing=4.0, retried=failed)
    steps.append(make_final_step(25.0, None))
    assert {find_step(steps, now).asset for now in (20.0, 21.0, 24.9)} == {failed}
    assert [find_step(steps, now).task.phase for now in (20.0, 21.0)] == ["waiting", "running"]
    assert find_step(steps, 25.0).asset == Status("ready", 25.0)
