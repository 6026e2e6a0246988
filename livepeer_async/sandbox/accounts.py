"""Who asks: users, their API keys, and the upload tokens that the server signs.

The `Authorization` header is checked on every route, also where none is needed; the sentences
are the recorded ones, the key echoed included.
"""

import base64
import hashlib
import hmac
import secrets
import uuid
from typing import Any

import msgspec
from msgspec import Struct

from livepeer_async.sandbox.responses import StudioError

TOKEN_PARTS = 3


class User(Struct, frozen=True):
    """Somebody with one project and one API key."""

    id: str
    project_id: str
    api_key: str
    key_name: str
    is_suspended: bool = False


class Accounts:
    """All users by their API key."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}

    def add(self, api_key: str | None = None, *, is_suspended: bool = False) -> User:
        """Add a user with this API key, a fresh one by default."""
        user = User(
            id=str(uuid.uuid4()),
            project_id=str(uuid.uuid4()),
            api_key=api_key or str(uuid.uuid4()),
            key_name="sandbox key",
            is_suspended=is_suspended,
        )
        self._users[user.api_key] = user
        return user

    def authenticate(self, header: str | None) -> User | None:
        """Return who sent this Authorization header, None when it names nobody.

        Raises:
            StudioError: The scheme or the key is none that the server knows.
        """
        scheme, _, credentials = (header or "").partition(" ")
        if not credentials:
            return None
        if scheme.lower() == "jwt":
            raise StudioError(401, "jwt malformed")
        if scheme.lower() != "bearer":
            raise StudioError(401, f"unsupported authorization header scheme: {scheme}")
        user = self._users.get(credentials)
        if user is None:
            raise StudioError(401, f"no token {credentials} found")
        if user.is_suspended:
            raise StudioError(403, "user is suspended")
        return user


class UploadTokens:
    """JSON web tokens (HS256, no `exp`) that allow one upload each."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, playback_id: str, *, host: str, now: float) -> str:
        """Make the token; a presigned URL of the bucket inside makes it as long as a real one."""
        payload = {
            "playbackId": playback_id,
            "presignedUrl": _presign(playback_id, host),
            "aud": "livepeer",
            "iat": int(now),
        }
        head = _encode(msgspec.json.encode({"alg": "HS256", "typ": "JWT"}))
        signed = f"{head}.{_encode(msgspec.json.encode(payload))}"
        return f"{signed}.{self._sign(signed)}"

    def verify(self, token: str) -> str:
        """Return the playback ID that a token is for.

        Raises:
            StudioError: The token is none, or not this server's.
        """
        parts = token.split(".")
        if not token:
            raise _refuse("jwt must be provided")
        if len(parts) != TOKEN_PARTS:
            raise _refuse("jwt malformed")
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._sign(signed).encode()):
            raise _refuse("invalid signature")
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        payload: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(padded))
        return str(payload["playbackId"])

    def _sign(self, signed: str) -> str:
        return _encode(hmac.digest(self._secret, signed.encode(), hashlib.sha256))


def _refuse(reason: str) -> StudioError:
    return StudioError(403, f"Invalid signed upload URL: JsonWebTokenError: {reason}")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _presign(playback_id: str, host: str) -> str:
    return (
        f"http://{host}/vod/directUpload/{playback_id}?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&X-Amz-Expires=43200"
        f"&X-Amz-Signature={secrets.token_hex(32)}&X-Amz-SignedHeaders=host&x-id=PutObject"
    )
