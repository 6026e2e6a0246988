"""Tickets for uploads from a browser."""

import json

import msgspec

from livepeer_async.models import Asset, UploadTicket
from livepeer_async.tus import livepeer_limits
from support.samples import read_sample

ENDPOINT = "https://host.example/api/asset/upload/tus?token=eyJhbGciOiJ9.e30.x"
LONGEST = 30 * 1024**3


def make_ticket(name="Ünïcode.mp4"):
    return UploadTicket(tus_endpoint=ENDPOINT, asset=Asset(id="a1", name=name))


def test_chunk_size_is_the_alignment_of_the_limits():
    assert make_ticket().chunk_size == 8_388_608
    for length in (1, 8_388_608, LONGEST):
        assert make_ticket().chunk_size == livepeer_limits(length).align


def test_options_survive_json():
    options = make_ticket().tus_js_options()
    assert json.loads(json.dumps(options)) == options
    assert msgspec.json.decode(msgspec.json.encode(options)) == options


def test_options_prevent_wrong_bytes():
    options = make_ticket().tus_js_options()
    assert options["endpoint"] == ENDPOINT
    assert options["chunkSize"] == 8 * 1024 * 1024
    assert options["parallelUploads"] == 1
    assert options["uploadDataDuringCreation"] is False
    assert options["uploadLengthDeferred"] is False
    # The server shows its last part only after a moment.
    assert options["retryDelays"][0] >= 1_000


def test_metadata_is_the_name_of_the_asset():
    assert make_ticket().tus_js_options()["metadata"] == {"filename": "Ünïcode.mp4"}
    assert make_ticket(name=None).tus_js_options()["metadata"] == {}


def test_each_call_returns_options_of_its_own():
    ticket = make_ticket()
    ticket.tus_js_options()["retryDelays"].clear()
    assert ticket.tus_js_options()["retryDelays"]


def test_ticket_can_be_stored_and_read_again():
    for ticket in (make_ticket(), read_sample("request_upload_encryption.json")):
        text = msgspec.json.encode(ticket)
        stored = msgspec.json.decode(text, type=UploadTicket)
        assert stored == ticket
        assert stored.tus_js_options() == ticket.tus_js_options()
