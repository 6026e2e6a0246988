"""Where the situations play: a sandbox, a client of it, and marked secrets in all that they use."""

import ssl
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
from support import libraries
from support.sandbox import PART, SMALL_LIMITS, make_bytes
from support.servers import serve_http

KEY = "KEYs3cret-1f0e-4a7b-8f5e-b0c1d2e3f4a5"
PASSWORD = "PASSs3cret-5a6b"
BEARER = "AUTHs3cret-9c8d7e6f"
UPLOAD_NAME = "up12NAMEs3cret7d8e9f"
ENCRYPTED_KEY = "RU5Dczbmb3JMaXZlcGVlcg=="
CONTEXT = "CTXs3cret-77"
SIGNATURE = "SIGs3cret-31ab"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzM2NyZXQiOiJUT0tFTiJ9.U0lHTnMzY3JldA"

# Made once: it takes longer than most situations.
TLS = ssl.create_default_context()
HASTY = RetryPolicy(attempts=1, first_delay=0.01, max_delay=0.02, restarts=1)
LIBRARIES = {library.__name__: library for library in libraries.LIBRARIES}

SIGNED_URL = f"http://user:{PASSWORD}@127.0.0.1:9/clip.mp4?X-Amz-Signature={SIGNATURE}"
# What a server, or a proxy before it, may say of a request: all that it has seen.
TALKATIVE = (
    f"no token {KEY} found; Authorization: Bearer {KEY}; "
    f"http://user:{PASSWORD}@127.0.0.1/api/asset/upload/tus?token={JWT} bad {JWT}"
)
# The API key isn't known where uploads go.
TALK_OF_UPLOADS = (
    f"{SIGNED_URL} 'token={JWT}' (jwt {JWT}); /api/asset/upload/tus?token={JWT} bad {JWT}"
)
VIDEO = make_bytes(3 * PART)
SECRETIVE = NewAsset(
    "talk.mp4",
    encryption=Encryption(encrypted_key=ENCRYPTED_KEY),
    playback_policy=PlaybackPolicy(type="jwt", webhook_context={"pass": CONTEXT}),
)


def plant_all(evidence):
    """Plant what is known before anything runs."""
    for name, secret in {
        "the API key": KEY,
        "a password in a URL": PASSWORD,
        "an Authorization of a tus client": BEARER,
        # Four characters of an upload's name are shown, so that it is found in the server's log.
        "the name of an upload": UPLOAD_NAME[4:],
        "the key of an encrypted file": ENCRYPTED_KEY,
        "what a webhook is told": CONTEXT,
        "the signature of a URL": SIGNATURE,
        "an echoed token": JWT,
        "an echoed token's signature": JWT.rpartition(".")[2],
    }.items():
        evidence.plant(name, secret)


def plant_tokens(evidence, monkeypatch):
    """Plant each token that the sandbox makes, as it makes it."""
    sign = UploadTokens.sign

    def noting(tokens, *arguments, **options):
        token = sign(tokens, *arguments, **options)
        evidence.plant("an upload token", token)
        evidence.plant("the signature of an upload token", token.rpartition(".")[2])
        return token

    monkeypatch.setattr(UploadTokens, "sign", noting)


def plant_upload_urls(evidence, sandbox):
    """Plant the paths of all uploads; a playback ID alone is public."""
    for asset in sandbox.assets:
        for folder in ("", "directUpload/", "directUpload%2F"):
            evidence.plant("an upload URL", f"/upload/tus/{folder}{asset.playback_id}")


class Scene:
    """What a situation may use.

    Attributes:
        sandbox: knows `KEY` alone.
        livepeer: a client of it.
        path: a video.
        evidence: where a situation puts what it was given.
    """

    def __init__(self, sandbox, livepeer, path, library, evidence):
        self.sandbox = sandbox
        self.livepeer = livepeer
        self.path = path
        self.evidence = evidence
        self._library = library

    @asynccontextmanager
    async def client(self, *, proxy=None, **options):
        """Open another client of the sandbox."""
        base_url = options.pop("base_url", self.sandbox.base_url)
        options = {"api_key": KEY, "retry": HASTY, "upload_limits": SMALL_LIMITS, **options}
        async with (
            self._library.AsyncClient(verify=TLS, proxy=proxy) as http_client,
            AsyncLivepeer(base_url=base_url, http_client=http_client, **options) as it,
        ):
            self.show(it)
            yield it

    @asynccontextmanager
    async def tus(self, answers, **options):
        """Open a tus client with a key, and a server that answers it with these bytes."""
        options = {"headers": {"Authorization": f"Basic {BEARER}"}, "retry": HASTY, **options}
        limits = ServerLimits(with_creation=0)
        async with (
            serve_http(answers) as server,
            self._library.AsyncClient(verify=TLS) as http_client,
            TusClient(http_client=http_client, limits=limits, timeouts=Timeouts(), **options) as it,
        ):
            self.show(it)
            yield it, f"{server.origin}/files"

    def fault(self, action=None, **which):
        """Let something go wrong; by default an answer that tells all."""
        said = TALKATIVE if which.get("method") == "GET" else TALK_OF_UPLOADS
        self.sandbox.add_fault(Fault(On(**which), action or Answer(500, said.encode())))

    def show(self, *things):
        """Take what a situation was given, and what hangs on it."""
        for thing in things:
            self.evidence.add_object(thing)


@asynccontextmanager
async def playing(library, evidence, directory):
    """Set the scene up; what was uploaded in it is planted at the end."""
    path = directory / "clip.mp4"
    path.write_bytes(VIDEO)
    quick = {"waiting_seconds": 0.0, "processing_seconds": 0.0}
    async with Sandbox(api_key=KEY, **quick) as sandbox:
        scene = Scene(sandbox, None, path, LIBRARIES[library], evidence)
        async with scene.client(journal=directory / "journal") as livepeer:
            scene.livepeer = livepeer
            try:
                yield scene
            finally:
                plant_upload_urls(evidence, sandbox)
