import sys
from contextlib import contextmanager
from threading import Thread

from livepeer_async.cli.output.progress import Board, Item, Rate, Stage
from livepeer_async.errors import SourceEmpty
from livepeer_async.http.retry import RetryEvent
from livepeer_async.models import Asset, AssetStatus
from livepeer_async.uploads import progress
from livepeer_async.uploads.options import UploadResult
from livepeer_async.uploads.progress import Progress


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
    retry_event = RetryEvent(reason="no connection", attempt=3, attempts=8, delay=12)
    for second in (0, 1):
        one.follow(Progress(sent=200 * second, length=1000, asset_id="a1"), second)
        board.tick(second)
    one.follow(Progress(sent=200, length=1000, asset_id="a1", retry=retry_event), 2)
    board.tick(2)
    assert (one.retry, one.asset_id, one.seconds_until_next(4)) == (retry_event, "a1", 10)
    assert one.seconds_until_next(20) == 0
    assert one.seconds_left(2) is board.seconds_left(2) is board.per_second(2) is None
    one.follow(Progress(sent=300, length=1000, asset_id="a1"), 20)
    assert (one.retry, board.is_stalled) == (None, False)


def test_the_total_goes_on_while_another_file_moves():
    stuck, moving = item(), item()
    retry_event = RetryEvent(reason="no connection", attempt=1, attempts=8, delay=1)
    stuck.follow(Progress(sent=0, length=100, retry=retry_event), 0)
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


def board_of(number, length=100):
    board = Board()
    board.expect(number, length=number * length)
    return board


def test_items_come_run_and_leave_sums_behind():
    board = board_of(3)
    one = item()
    board.add(one)
    one.follow(Progress(sent=40, length=100), 0)
    assert (board.number, board.sent, board.length, len(board.items)) == (3, 40, 300, 1)
    one.finish(Stage.READY, length=100)
    board.retire(one)
    assert (board.number, board.sent, board.length, len(board.items)) == (3, 100, 300, 0)
    assert (board.done, board.has_more, board.summary()) == (1, True, "1 of 3 ready")


def test_an_item_that_failed_takes_its_bytes_along():
    board = board_of(2)
    one = item()
    board.add(one)
    one.follow(Progress(sent=40, length=100), 0)
    one.finish(Stage.FAILED, length=None)
    board.retire(one)
    assert (board.sent, board.length, board.moved) == (0, 100, 40)
    assert board.summary() == "0 of 2 ready, 1 failed"


def test_an_item_that_is_put_back_comes_again():
    board = board_of(2)
    one = item()
    board.add(one)
    one.follow(Progress(sent=40, length=100), 0)
    board.put_back(one)
    assert (board.number, board.sent, board.length, board.moved) == (2, 0, 200, 40)
    board.add(item())
    assert (board.number, board.length) == (2, 200)


def test_what_an_earlier_run_finished_counts_as_done_and_not_in_the_rate():
    board = board_of(3)
    board.tick(0)
    earlier = item()
    earlier.finish(Stage.READY, length=100)
    board.retire(earlier)
    board.tick(1)
    assert (board.done, board.number, board.sent, board.length) == (1, 3, 100, 300)
    assert (board.moved, board.per_second(1), board.has_more) == (0, 0, True)


def test_bytes_that_the_server_held_before_dont_count_in_the_rate():
    board = board_of(1, length=100 * 2**20)
    one = item(length=100 * 2**20)
    board.add(one)
    for sent in (0, 64 * 2**20, 65 * 2**20):
        one.follow(Progress(sent=sent, length=100 * 2**20), 0)
    assert (board.sent, board.moved) == (65 * 2**20, 2**20)


def test_a_rate_of_all_outlives_items_that_leave():
    board = Board(window=30)
    board.expect(20, length=2000)
    for second in range(20):
        one = item()
        board.add(one)
        one.follow(Progress(sent=100, length=100), second)
        one.finish(Stage.READY if second % 2 else Stage.FAILED, length=100)
        board.retire(one)
        board.tick(second)
    assert board.per_second(19) == 100


def test_a_board_of_many_rows_holds_what_runs():
    board = board_of(100_000)
    for _ in range(100_000):
        one = item()
        board.add(one)
        one.finish(Stage.READY, length=100)
        board.retire(one)
    assert (len(board.items), board.done, board.sent) == (0, 100_000, 10_000_000)
    assert board.summary() == "100,000 of 100,000 ready"


@contextmanager
def reading(look):
    """Look again and again in a thread that gets its turn at every moment."""
    failures, is_over = [], []

    def read():
        try:
            while not is_over:
                look()
        except (RuntimeError, LookupError) as error:
            failures.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = Thread(target=read)
    thread.start()
    try:
        yield failures
    finally:
        is_over.append(True)
        thread.join()
        sys.setswitchinterval(before)


def test_a_thread_may_read_while_items_come_and_go():
    board = board_of(3000)
    seen = []

    def look():
        board.tick(len(seen))
        seen.append((board.sent, board.length, board.summary(), board.per_second(len(seen))))

    with reading(look) as failures:
        running = []
        for number in range(3000):
            running.append(item())
            board.add(running[-1])
            running[-1].follow(Progress(sent=50, length=100), number)
            if len(running) > 20:
                one = running.pop(0)
                one.finish(Stage.READY, length=100)
                board.retire(one)
    assert failures == []
    assert all(rate is None or rate >= 0 for _, _, _, rate in seen)


def test_a_thread_may_read_a_rate_that_begins_anew():
    rate = Rate()
    with reading(lambda: rate.per_second(1)) as failures:
        for _ in range(20_000):
            rate.add(0, 1)
            rate.begin_anew()
    assert failures == []


def test_no_rate_and_no_time_left_is_told_while_nothing_moves():
    one, board = item(length=1000), board_of(1, length=1000)
    board.add(one)
    for second in range(3):
        one.follow(Progress(sent=100 * second, length=1000), second)
        board.tick(second)
    assert one.seconds_left(3) is not None
    for second in range(3, 13):
        board.tick(second)
    assert one.seconds_left(13) is one.rate.per_second(13) is None
    assert board.seconds_left(13) is board.per_second(13) is None
    one.follow(Progress(sent=300, length=1000), 13)
    one.follow(Progress(sent=400, length=1000), 14)
    board.tick(14)
    board.tick(15)
    assert one.seconds_left(14) == 6
    assert board.is_still(15) is False


def test_no_time_is_left_where_everything_is_sent():
    one, board = item(length=200), board_of(1, length=200)
    board.add(one)
    for second in range(3):
        one.follow(Progress(sent=100 * second, length=200), second)
        board.tick(second)
    assert one.is_sent
    assert one.seconds_left(2) is board.seconds_left(2) is None


def test_bytes_that_the_server_held_before_dont_count_in_the_rate_of_their_file():
    mib = 2**20
    one = item(length=100 * mib)
    for second, sent in enumerate((0, 64 * mib, 65 * mib, 66 * mib)):
        one.follow(Progress(sent=sent, length=100 * mib), second)
    assert one.rate.per_second(3) == mib
    assert one.seconds_left(3) == 34
