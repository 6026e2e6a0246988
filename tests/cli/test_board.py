from livepeer_async.cli.board import Board, Item, Rate, Stage
from livepeer_async.errors import SourceEmpty
from livepeer_async.models import Asset, AssetStatus
from livepeer_async.uploads import progress
from livepeer_async.uploads.progress import Progress
from livepeer_async.uploads.retry import Setback
from livepeer_async.uploads.upload import UploadResult


def item(length=100):
    return Item("a.mp4", "a.mp4", length)


def ended(phase="ready", **options):
    asset = Asset(id="1", status=AssetStatus(phase=phase))
    return UploadResult(source="a.mp4", **{"asset": asset, "length": 100, **options})


def test_a_rate_is_that_of_the_last_seconds():
    rate = Rate()
    for second in range(20):
        rate.add(second, second * (10 if second < 10 else 20))
    assert rate.per_second(19) == 20


def test_a_rate_falls_while_nothing_comes():
    rate = Rate()
    rate.add(0, 0)
    rate.add(1, 100)
    assert rate.per_second(1) == 100
    assert rate.per_second(4) == 25


def test_bytes_that_are_sent_again_begin_a_new_measurement():
    rate = Rate()
    rate.add(0, 0)
    rate.add(1, 100)
    rate.add(2, 40)
    assert rate.per_second(2.1) is None
    rate.add(3, 60)
    assert rate.per_second(3) == 20


def test_no_rate_is_told_without_a_measurement():
    assert Rate().per_second(1) is None
    assert item().seconds_left(1) is None


def test_the_time_left_follows_from_the_rate():
    one = item(length=1000)
    one.follow(Progress(sent=0, length=1000), 0)
    one.follow(Progress(sent=200, length=1000), 2)
    assert one.seconds_left(2) == 8


def test_an_item_follows_the_client():
    one = item(length=None)
    one.read(30, 0)
    assert (one.stage, one.sent, one.length) == (Stage.READING, 30, None)
    one.follow(Progress(sent=10, length=30), 1)
    assert (one.stage, one.sent, one.length) == (Stage.UPLOADING, 10, 30)
    one.follow(Progress(sent=30, length=30, stage=progress.Stage.PROCESSING, processed=0.5), 2)
    assert (one.stage, one.processed, one.is_over) == (Stage.PROCESSING, 0.5, False)


def test_a_setback_lasts_until_bytes_move_again():
    one, other = item(length=1000), item(length=1000)
    board = Board([one, other])
    setback = Setback(reason="no connection", attempt=3, attempts=8, delay=12)
    for second in (0, 1):
        one.follow(Progress(sent=200 * second, length=1000, asset_id="a1"), second)
        board.tick(second)
    one.follow(Progress(sent=200, length=1000, asset_id="a1", setback=setback), 2)
    board.tick(2)
    assert (one.setback, one.asset_id, one.seconds_until_next(4)) == (setback, "a1", 10)
    assert one.seconds_until_next(20) == 0
    assert one.seconds_left(2) is board.seconds_left(2) is board.per_second(2) is None
    one.follow(Progress(sent=300, length=1000, asset_id="a1"), 20)
    assert (one.setback, board.is_stalled) == (None, False)


def test_the_total_goes_on_while_another_file_moves():
    stuck, moving = item(), item()
    setback = Setback(reason="no connection", attempt=1, attempts=8, delay=1)
    stuck.follow(Progress(sent=0, length=100, setback=setback), 0)
    assert Board([stuck]).is_stalled
    moving.follow(Progress(sent=10, length=100), 0)
    assert not Board([stuck, moving]).is_stalled


def test_an_item_ends_ready_handed_over_or_failed():
    ready, handed_over, failed = item(), item(), item()
    ready.end(ended())
    handed_over.end(ended("waiting"))
    failed.end(ended(error=SourceEmpty("a.mp4 is empty", source="a.mp4"), asset=None))
    assert [one.stage for one in (ready, handed_over, failed)] == [
        Stage.READY,
        Stage.HANDED_OVER,
        Stage.FAILED,
    ]
    assert all(one.is_over for one in (ready, handed_over, failed))
    board = Board([ready, handed_over, failed])
    assert board.summary() == "2 of 3 done, 1 failed"
    assert Board([ready, failed]).summary() == "1 of 2 ready, 1 failed"


def test_failed_uploads_dont_count_in_the_total():
    running, failed = item(), item()
    running.follow(Progress(sent=40, length=100), 0)
    failed.end(ended(error=SourceEmpty("a.mp4 is empty", source="a.mp4"), asset=None))
    board = Board([running, failed])
    assert (board.sent, board.length) == (40, 100)
