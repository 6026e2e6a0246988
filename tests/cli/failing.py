"""Errors that several tests of sentences need."""

from livepeer_async import errors


def failed(*, is_retryable):
    return errors.AssetFailed(
        "asset a1 failed: no video track",
        asset_id="a1",
        error_message="no video track",
        is_retryable=is_retryable,
    )
