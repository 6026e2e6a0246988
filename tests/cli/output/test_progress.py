import pytest

from livepeer_async.cli.output.progress import BatchProgress, FileProgress
from livepeer_async.errors import SourceEmpty
from livepeer_async.http.retry import RetryEvent
from livepeer_async.ingest.events import RowState
from livepeer_async.models import Asset, AssetStatus
from livepeer_async.uploads.options import UploadResult
from livepeer_async.uploads.progress import Progress, Stage
from support.constants import MIB


def new_file(length=100):
    return FileProgress("a.mp4", "a.mp4", length)


def result(phase="ready", **options):
    asset = Asset(id="1", status=AssetStatus(phase=phase))
    return UploadResult(source="a.mp4", **{"asset": asset, "length": 100, **options})


def failed_result():
    return result(error=SourceEmpty("a.mp4 is empty", source="a.mp4"), asset=None)


def expecting(number, length=100):
    batch = BatchProgress()
    batch.expect(number, length=number * length)
    return batch


@pytest.fixture
def half_sent():
    """A batch of two files, of which one runs."""
    batch, file = expecting(2), new_file()
    batch.add(file)
    file.update(Progress(sent=0, in_flight=40, length=100), 0)
    file.update(Progress(sent=40, length=100), 0)
    return batch, file


def test_file_status_follows_its_progress():
    file = new_file(length=None)
    assert file.status == "waiting"
    file.sent = 30
    assert (file.status, file.is_counted, file.length) == ("reading", False, None)
    file.update(Progress(sent=0, in_flight=10, length=30), 1)
    file.update(Progress(sent=10, length=30), 1)
    assert (file.status, file.sent, file.transferred, file.length) == ("uploading", 10, 10, 30)
    file.update(Progress(sent=30, length=30, stage=Stage.PROCESSING, processed=0.5), 2)
    assert (file.status, file.processed, file.outcome) == ("processing", 0.5, None)


def test_retry_lasts_until_bytes_move():
    file = new_file(length=1000)
    batch = BatchProgress([file, new_file()])
    retry = RetryEvent(reason="no connection", attempt=3, attempts=8, delay=12)
    file.update(Progress(sent=200, length=1000, asset_id="a1"), 1)
    assert not batch.is_stalled
    file.update(Progress(sent=200, length=1000, asset_id="a1", retry=retry), 2)
    assert (file.retry, file.asset_id, file.seconds_to_retry(4)) == (retry, "a1", 10)
    assert (file.seconds_to_retry(20), batch.is_stalled) == (0, True)
    file.update(Progress(sent=300, length=1000, asset_id="a1"), 20)
    assert (file.retry, batch.is_stalled) == (None, False)


def test_batch_is_stalled_only_if_all_files_are():
    stuck, moving = new_file(), new_file()
    retry = RetryEvent(reason="no connection", attempt=1, attempts=8, delay=1)
    stuck.update(Progress(sent=0, length=100, retry=retry), 0)
    moving.update(Progress(sent=10, length=100), 0)
    assert BatchProgress([stuck]).is_stalled
    assert not BatchProgress([stuck, moving]).is_stalled


def test_result_determines_the_outcome():
    ready, uploaded, failed = new_file(), new_file(), new_file()
    ready.set_result(result())
    uploaded.set_result(result("waiting"))
    failed.set_result(failed_result())
    outcomes = [file.outcome for file in (ready, uploaded, failed)]
    assert outcomes == [RowState.READY, RowState.UPLOADED, RowState.FAILED]
    assert BatchProgress([ready, uploaded, failed]).summarize() == "2 of 3 arrived, 1 failed"
    assert BatchProgress([ready, failed]).summarize() == "1 of 2 ready, 1 failed"


def test_failed_uploads_are_not_in_the_total():
    running, failed = new_file(), new_file()
    running.update(Progress(sent=40, length=100), 0)
    failed.set_result(failed_result())
    batch = BatchProgress([running, failed])
    assert (batch.sent, batch.length) == (40, 100)


def test_retired_file_stays_in_the_sums(half_sent):
    batch, file = half_sent
    assert (batch.number, batch.sent, batch.length, len(batch.files)) == (2, 40, 200, 1)
    file.finish(RowState.READY, length=100)
    batch.retire(file)
    assert (batch.number, batch.sent, batch.length, len(batch.files)) == (2, 100, 200, 0)
    assert (batch.succeeded, batch.summarize()) == (1, "1 of 2 ready")


def test_failed_file_is_subtracted_from_the_sums(half_sent):
    batch, file = half_sent
    file.finish(RowState.FAILED)
    batch.retire(file)
    assert (batch.sent, batch.length, batch.transferred) == (0, 100, 40)
    assert batch.summarize() == "0 of 2 ready, 1 failed"


def test_deferred_file_still_counts_as_expected(half_sent):
    batch, file = half_sent
    batch.defer(file)
    assert (batch.number, batch.sent, batch.length, batch.transferred) == (2, 0, 200, 40)
    batch.add(new_file())
    assert (batch.number, batch.length) == (2, 200)


def test_abandoned_files_keep_their_sent_bytes(half_sent):
    batch, file = half_sent
    batch.abandon(file)
    assert (batch.number, batch.sent, batch.length) == (2, 40, 200)


def test_files_of_an_earlier_run_transfer_nothing():
    batch, file = expecting(3), new_file()
    file.finish(RowState.READY, length=100)
    batch.retire(file)
    assert (batch.succeeded, batch.number, batch.sent, batch.length) == (1, 3, 100, 300)
    assert batch.transferred == 0


def test_bytes_of_an_earlier_run_are_not_transferred():
    batch, file = expecting(1, length=100 * MIB), new_file(length=100 * MIB)
    batch.add(file)
    for sent, in_flight in ((64 * MIB, 0), (64 * MIB, MIB), (65 * MIB, 0)):
        file.update(Progress(sent=sent, in_flight=in_flight, length=100 * MIB), 0)
    assert (batch.sent, batch.transferred) == (65 * MIB, MIB)


def test_finished_files_are_not_kept():
    batch = expecting(100_000)
    for _ in range(100_000):
        file = new_file()
        batch.add(file)
        file.finish(RowState.READY, length=100)
        batch.retire(file)
    assert (batch.files, batch.succeeded, batch.sent) == ([], 100_000, 10_000_000)
    assert batch.summarize() == "100,000 of 100,000 ready"


def test_sent_files_wait_for_the_server():
    file = new_file(length=200)
    file.update(Progress(sent=100, length=200), 0)
    assert not file.is_sent
    file.update(Progress(sent=200, length=200), 0)
    assert file.is_sent


def test_bytes_that_were_lost_are_not_acknowledged():
    file = FileProgress("one.mp4", "one.mp4", 100)
    for sent, in_flight in [(0, 40), (40, 0), (40, 30), (40, 0), (40, 60)]:
        file.update(Progress(sent=sent, length=100, in_flight=in_flight), 0.0)
    batch = BatchProgress([file])
    assert (batch.transferred, batch.acknowledged) == (130, 40)
    batch.abandon(file)
    assert (batch.transferred, batch.acknowledged) == (130, 40)


def test_bytes_of_a_finished_upload_are_acknowledged():
    file = FileProgress("one.mp4", "one.mp4", 100)
    batch = BatchProgress([file])
    file.update(Progress(sent=0, length=100, stage=Stage.RESUMING), 0.0)
    for sent, in_flight in [(60, 0), (60, 40)]:
        file.update(Progress(sent=sent, length=100, in_flight=in_flight), 0.0)
    file.finish(RowState.READY)
    batch.retire(file)
    # The first 60 bytes are an earlier run's.
    assert batch.acknowledged == 40
