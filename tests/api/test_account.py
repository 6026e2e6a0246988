import re

import pytest

from livepeer_async import AsyncLivepeer, ConfigurationError, errors
from livepeer_async.api.calls import check_account


@pytest.mark.parametrize("value", ["http://h.example:99999", "h.example", "http://" + "a" * 64])
def test_invalid_base_url_names_its_variable(value, monkeypatch):
    monkeypatch.setenv("LIVEPEER_BASE_URL", value)
    with pytest.raises(errors.ConfigurationError, match="check LIVEPEER_BASE_URL"):
        AsyncLivepeer("key")
    with pytest.raises(errors.ConfigurationError) as caught:
        AsyncLivepeer("key", base_url=value)
    assert "LIVEPEER_BASE_URL" not in str(caught.value)


@pytest.mark.parametrize("value", ["two words", "lin\nes", "kéy"])
def test_invalid_key_names_its_variable(value, monkeypatch):
    monkeypatch.setenv("LIVEPEER_API_KEY", value)
    with pytest.raises(errors.ConfigurationError, match="check LIVEPEER_API_KEY") as caught:
        AsyncLivepeer()
    assert value not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        *((it, it) for it in ("127.0.0.1:99", "localhost:8000/api", "livepeer.studio", "http://")),
        *((it, "***") for it in ("7fd2cb44-1a31-4e1c-81c4-3195df2199d7", "me:1234", "u:p@h.org")),
    ],
)
def test_invalid_base_url_is_shown_unless_it_may_be_secret(url, shown):
    with pytest.raises(ConfigurationError, match=re.escape(f"the base URL is {shown!r}")):
        check_account(url, "key")
