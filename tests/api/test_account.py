import pytest

from livepeer_async import AsyncLivepeer, errors


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
