"""Context of a scenario: a sandbox, a client, and marked secrets in all inputs."""

from contextlib import asynccontextmanager

from livepeer_async import (
    AsyncLivepeer,
    Encryption,
    NewAsset,
    PlaybackPolicy,
    RetryPolicy,
    Timeouts,
)
from livepeer_async.sandbox import Answer, Fault, On, Sandbox
from livepeer_async.sandbox.accounts import UploadTokens
from livepeer_async.tus import ServerLimits, TusClient
from support.libraries import LIBRARIES, TLS_CONTEXT
from support.sandbox import PART, SMALL_LIMITS, make_bytes
from support.servers import serve_http

API_KEY = "KEYs3cret-1f0e-4a7b-8f5e-b0c1d2e3f4a5"
PASSWORD = "PASSs3cret-5a6b"
BEARER = "AUTHs3cret-9c8d7e6f"
UPLOAD_ID = "up12NAMEs3cret7d8e9f"
ENCRYPTED_KEY = "RU5Dczbmb3JMaXZlcGVlcg=="
WEBHOOK_DATA = "CTXs3cret-77"
SHARED_SECRET = "HOOKs3cret-42 of a webhook"
SIGNATURE = "SIGs3cret-31ab"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzM2NyZXQiOiJUT0tFTiJ9.U0lHTnMzY3JldA"

FAST_RETRY = RetryPolicy(attempts=1, first_delay=0.01, max_delay=0.02, restarts=1)
LIBRARIES_BY_NAME = {library.__name__: library for library in LIBRARIES}

SIGNED_URL = f"http://user:{PASSWORD}@127.0.0.1:9/clip.mp4?X-Amz-Signature={SIGNATURE}"
# A response of a server or proxy that echoes everything it has received.
ECHO_ALL = (
    f"no token {API_KEY} found; Authorization: Bearer {API_KEY}; "
    f"http://user:{PASSWORD}@127.0.0.1/api/asset/upload/tus?token={JWT} bad {JWT}"
)
# The same without the API key, which the upload host never receives.
ECHO_UPLOAD = f"{SIGNED_URL} 'token={JWT}' (jwt {JWT}); /api/asset/upload/tus?token={JWT} bad {JWT}"
VIDEO = make_bytes(3 * PART)
SECRET_ASSET = NewAsset(
    "talk.mp4",
    encryption=Encryption(encrypted_key=ENCRYPTED_KEY),
    playback_policy=PlaybackPolicy(type="jwt", webhook_context={"pass": WEBHOOK_DATA}),
)


def add_known_secrets(detector):
    """Add the secrets that are constants."""
    for name, secret in {
        "the API key": API_KEY,
        "a password in a URL": PASSWORD,
        "the Authorization of a tus client": BEARER,
        # The first four characters of an upload ID are shown.
        "an upload ID": UPLOAD_ID[4:],
        "the key of an encrypted file": ENCRYPTED_KEY,
        "webhook data": WEBHOOK_DATA,
        "the shared secret of a webhook": SHARED_SECRET,
        "the signature of a URL": SIGNATURE,
        "an echoed token": JWT,
        "an echoed token's signature": JWT.rpartition(".")[2],
    }.items():
        detector.add_secret(name, secret)


def track_upload_tokens(detector, monkeypatch):
    """Add each upload token when the sandbox creates it."""
    sign = UploadTokens.sign

    def sign_and_add(tokens, *arguments, **options):
        token = sign(tokens, *arguments, **options)
        detector.add_secret("an upload token", token)
        detector.add_secret("the signature of an upload token", token.rpartition(".")[2])
        return token

    monkeypatch.setattr(UploadTokens, "sign", sign_and_add)


def add_upload_urls(detector, sandbox):
    """Add the paths of all upload URLs; a playback ID alone is public."""
    for asset in sandbox.assets:
        for folder in ("", "directUpload/", "directUpload%2F"):
            detector.add_secret("an upload URL", f"/upload/tus/{folder}{asset.playback_id}")


class ScenarioContext:
    """What a scenario uses.

    Attributes:
        sandbox: accepts `API_KEY` only.
        livepeer: a client of the sandbox.
        path: a video file.
        detector: collects what the scenario shows.
    """

    def __init__(self, sandbox, livepeer, path, library, detector):
        self.sandbox = sandbox
        self.livepeer = livepeer
        self.path = path
        self.detector = detector
        self._library = library

    @asynccontextmanager
    async def client(self, *, proxy=None, **options):
        """Open another client of the sandbox."""
        base_url = options.pop("base_url", self.sandbox.base_url)
        options = {
            "api_key": API_KEY,
            "retry": FAST_RETRY,
            "upload_limits": SMALL_LIMITS,
            **options,
        }
        async with (
            self._library.AsyncClient(verify=TLS_CONTEXT, proxy=proxy) as http_client,
            AsyncLivepeer(base_url=base_url, http_client=http_client, **options) as it,
        ):
            self.show(it)
            yield it

    @asynccontextmanager
    async def tus(self, answers, **options):
        """Open a tus client with credentials, and a server that sends these responses."""
        options = {"headers": {"Authorization": f"Basic {BEARER}"}, "retry": FAST_RETRY, **options}
        limits = ServerLimits(with_creation=0)
        async with (
            serve_http(answers) as server,
            self._library.AsyncClient(verify=TLS_CONTEXT) as http_client,
            TusClient(http_client=http_client, limits=limits, timeouts=Timeouts(), **options) as it,
        ):
            self.show(it)
            yield it, f"{server.origin}/files"

    def fault(self, action=None, **which):
        """Add a fault; by default a status 500 that echoes all secrets."""
        response = ECHO_ALL if which.get("method") == "GET" else ECHO_UPLOAD
        self.sandbox.add_fault(Fault(On(**which), action or Answer(500, response.encode())))

    def show(self, *things):
        """Pass objects that the client returned to the detector."""
        for thing in things:
            self.detector.add_object(thing)


@asynccontextmanager
async def open_context(library, detector, directory):
    """Open a context; at its end, add its upload URLs to the secrets."""
    path = directory / "clip.mp4"
    path.write_bytes(VIDEO)
    quick = {"waiting_seconds": 0.0, "processing_seconds": 0.0}
    async with Sandbox(api_key=API_KEY, **quick) as sandbox:
        context = ScenarioContext(sandbox, None, path, LIBRARIES_BY_NAME[library], detector)
        async with context.client(journal=directory / "journal") as livepeer:
            context.livepeer = livepeer
            try:
                yield context
            finally:
                add_upload_urls(detector, sandbox)
