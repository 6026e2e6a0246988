"""Users, their API keys, and signed upload tokens.

The `Authorization` header is checked on every route, public ones included. The messages are the
recorded ones; the server's echo the key too.
"""

import base64
import hashlib
import hmac
import secrets
import uuid
from typing import Any

import msgspec
from msgspec import Struct

from livepeer_async.sandbox.responses import ApiError


class User(Struct, frozen=True):
    """A user with one project and one API key."""

    id: str
    project_id: str
    api_key: str
    key_name: str
    is_suspended: bool = False


class Access(Struct, frozen=True):
    """What a restricted API key may do.

    Attributes:
        allowed: methods and paths below /api, such as `GET /asset/:id`.
        is_cors: whether the key is for browsers, which are refused with a message of their own.
    """

    allowed: tuple[str, ...]
    is_cors: bool

    def permits(self, method: str, path: str) -> bool:
        """Whether the key may send a request; `:id` in a rule is any one part of the path."""
        parts = [method, *path.removeprefix("/api/").split("/")]
        return any(_matches(rule.replace(" /", "/", 1).split("/"), parts) for rule in self.allowed)


class Accounts:
    """All users by their API key."""

    def __init__(self) -> None:
        self._users: dict[str, User] = {}
        self._accesses: dict[str, Access] = {}

    def add(self, api_key: str | None = None, *, is_suspended: bool = False) -> User:
        """Add a user with this API key, a new one by default."""
        user = User(
            id=str(uuid.uuid4()),
            project_id=str(uuid.uuid4()),
            api_key=api_key or str(uuid.uuid4()),
            key_name="sandbox key",
            is_suspended=is_suspended,
        )
        self._users[user.api_key] = user
        return user

    def add_key(self, user: User, access: Access) -> str:
        """Add a restricted API key of a user, and return it."""
        key = str(uuid.uuid4())
        self._users[key], self._accesses[key] = user, access
        return key

    def find(self, api_key: str) -> User:
        """Return the user of an API key."""
        return self._users[api_key]

    def check_access(self, header: str | None, method: str, path: str) -> None:
        """Check what a key may do, before its request is looked at.

        Raises:
            ApiError: 403, the key is restricted to other requests.
        """
        access = self._accesses.get((header or "").partition(" ")[2])
        if access is None or access.permits(method, path):
            return
        if access.is_cors:
            raise ApiError(403, "access forbidden for CORS-enabled API key with restricted access")
        raise ApiError(403, "credential has insufficent privileges")

    def authenticate(self, header: str | None) -> User | None:
        """Return the user of an Authorization header, None if it has no credentials.

        Raises:
            ApiError: 401 for an unknown scheme or key, 403 for a suspended user.
        """
        scheme, _, credentials = (header or "").partition(" ")
        if not credentials:
            return None
        if scheme.lower() == "jwt":
            raise ApiError(401, "jwt malformed")
        if scheme.lower() != "bearer":
            raise ApiError(401, f"unsupported authorization header scheme: {scheme}")
        user = self._users.get(credentials)
        if user is None:
            raise ApiError(401, f"no token {credentials} found")
        if user.is_suspended:
            raise ApiError(403, "user is suspended")
        return user


class UploadTokens:
    """JSON web tokens (HS256, no `exp`) that allow one upload each."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)

    def sign(self, playback_id: str, *, host: str, now: float) -> str:
        """Make a token; the presigned URL in it makes it as long as the server's."""
        payload = {
            "playbackId": playback_id,
            "presignedUrl": _presign(playback_id, host),
            "aud": "livepeer",
            "iat": int(now),
        }
        header = _encode(msgspec.json.encode({"alg": "HS256", "typ": "JWT"}))
        signed = f"{header}.{_encode(msgspec.json.encode(payload))}"
        return f"{signed}.{self._sign(signed)}"

    def verify(self, token: str) -> str:
        """Return the playback ID in a token.

        Raises:
            ApiError: 403, the token is malformed or another server's.
        """
        if not token:
            raise _token_error("jwt must be provided")
        try:
            header, payload, signature = token.split(".")
        except ValueError:
            raise _token_error("jwt malformed") from None
        expected = self._sign(f"{header}.{payload}")
        if not hmac.compare_digest(signature.encode(), expected.encode()):
            raise _token_error("invalid signature")
        padded = payload + "=" * (-len(payload) % 4)
        claims: dict[str, Any] = msgspec.json.decode(base64.urlsafe_b64decode(padded))
        return str(claims["playbackId"])

    def _sign(self, signed: str) -> str:
        return _encode(hmac.digest(self._secret, signed.encode(), hashlib.sha256))


def _matches(rule: list[str], parts: list[str]) -> bool:
    pairs = zip(rule, parts, strict=False)
    return len(rule) == len(parts) and all(it in (part, ":id") for it, part in pairs)


def _token_error(reason: str) -> ApiError:
    return ApiError(403, f"Invalid signed upload URL: JsonWebTokenError: {reason}")


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _presign(playback_id: str, host: str) -> str:
    return (
        f"http://{host}/vod/directUpload/{playback_id}?X-Amz-Algorithm=AWS4-HMAC-SHA256"
        "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD&X-Amz-Expires=43200"
        f"&X-Amz-Signature={secrets.token_hex(32)}&X-Amz-SignedHeaders=host&x-id=PutObject"
    )
