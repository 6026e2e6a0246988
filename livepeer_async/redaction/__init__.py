"""Redaction of secrets in text, in URLs and in reprs.

A server may echo a secret as it was sent, or escape it for a URL, JSON, HTML or a Python repr,
several times over. `redact` decodes all of these before it compares. Pure.
"""

from livepeer_async.redaction.credentials import MIN_SECRET_LENGTH
from livepeer_async.redaction.reprs import Hidden, abbreviate, mask, mask_values, redacted
from livepeer_async.redaction.texts import (
    excerpt,
    find_credentials,
    limit_text,
    quote_header,
    redact,
    replace_secrets,
)
from livepeer_async.redaction.tracebacks import chain, clear_variables, hides_variables
from livepeer_async.redaction.urls import (
    find_upload_secrets,
    redact_upload_url,
    redact_url,
    show_source,
    split_upload_url,
)

__all__ = [
    "MIN_SECRET_LENGTH",
    "Hidden",
    "abbreviate",
    "chain",
    "clear_variables",
    "excerpt",
    "find_credentials",
    "find_upload_secrets",
    "hides_variables",
    "limit_text",
    "mask",
    "mask_values",
    "quote_header",
    "redact",
    "redact_upload_url",
    "redact_url",
    "redacted",
    "replace_secrets",
    "show_source",
    "split_upload_url",
]
