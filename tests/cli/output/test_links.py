import pytest
from rich.console import Console

from livepeer_async.cli.output import console
from livepeer_async.cli.output.asset_details import print_asset
from livepeer_async.cli.output.console import ASSET_ID, LINK, PLAYBACK_ID
from livepeer_async.cli.output.links import hide_links, link_to, show_links
from livepeer_async.cli.output.progress import BatchProgress, FileProgress
from livepeer_async.cli.output.report import print_results
from livepeer_async.models import Asset, AssetStatus
from livepeer_async.uploads.options import UploadResult

URL = "https://lvpr.tv/?v=af78cnwba775m8da"
ASSET = Asset(
    id="af78a3fa-5cd8-4892-980a-d71a64aa5152",
    playback_id="af78cnwba775m8da",
    name="clip.mp4",
    status=AssetStatus(phase="ready"),
)
OPTIONS = {"wait": True, "verify": "size"}


@pytest.fixture(autouse=True)
def _links():
    yield
    show_links("")


@pytest.fixture
def printed(monkeypatch, capsys):
    """Print the results of uploads that took some times."""

    def print_uploads(width, *seconds, **options):
        terminal = Console(width=width, force_terminal=False, markup=False, emoji=False)
        monkeypatch.setattr(console, "output", lambda: terminal)
        files = []
        for number, elapsed in enumerate(seconds):
            file = FileProgress(f"{number}.mp4", "n" * (number + 1) * 9, 5000 * 4**number)
            result = UploadResult(source=file.argument, asset=ASSET, seconds=elapsed)
            file.set_result(result)
            files.append(file)
        print_results(BatchProgress(files), OPTIONS | options)
        return capsys.readouterr()

    return print_uploads


@pytest.mark.parametrize(
    ("base_url", "link"),
    [
        ("", URL),
        ("https://livepeer.studio/api", URL),
        ("http://127.0.0.1:8000/api", None),
        ("http://localhost:8000/api", None),
        ("http://[::1]:8000/api", None),
        ("http://[::1", URL),
    ],
)
def test_link_is_shown_unless_the_server_is_local(base_url, link):
    show_links(base_url)
    assert link_to(URL) == link


@pytest.mark.parametrize("is_local", [False, True])
def test_details_have_the_link(capsys, is_local):
    if is_local:
        hide_links()
    print_asset(ASSET, json=False)
    assert (URL in capsys.readouterr().out) is not is_local


@pytest.mark.parametrize("width", [80, 100, 120, 160])
def test_columns_depend_on_the_width_alone(printed, width):
    runs = [(0.1,), (0.5, 59.9), (125.0, 9.9, 3700.0)]
    headers = {" ".join(printed(width, *run).out.splitlines()[0].split()) for run in runs}
    assert len(headers) == 1
    header = headers.pop()
    assert ASSET_ID in header
    assert (PLAYBACK_ID in header) is (width == 80)
    assert (LINK in header) is (width >= 100)


def test_narrow_terminal_prints_the_first_link(printed):
    shown = printed(80, 1.0, 2.0)
    assert URL not in shown.out
    assert f"play the first: {URL}\n" in shown.err
    hide_links()
    shown = printed(80, 1.0, 2.0)
    assert "play" not in shown.err
