"""The container files and the compose file, without a container engine."""

import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme
import yaml

from livepeer_async.sandbox import Sandbox
from support import command_line
from support.daemons import free_port
from support.postgres import PostgresServer

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[1]
CONTAINERFILES = sorted(FOLDER.glob("*.Containerfile"))
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: it for name, it in SERVICES.items() if "build" in it}


def instructions(path):
    """List the (instruction, arguments) of a container file."""
    text = path.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def list_of(path, name):
    """Return the last arguments of an instruction in the form of a JSON list."""
    found = [arguments for instruction, arguments in instructions(path) if instruction == name]
    return yaml.safe_load(found[-1])


def containerfile_of(service):
    return FOLDER / Path(OURS[service]["build"]["dockerfile"]).name


def command_of(service):
    """The arguments of `livepeer-async` that a service runs with."""
    it = OURS[service]
    entrypoint = it.get("entrypoint") or list_of(containerfile_of(service), "ENTRYPOINT")
    if entrypoint[0] == "sh":
        script = entrypoint[2].removeprefix("exec ").replace("$$", "$")
        entrypoint = shlex.split(re.sub(r'"\$\(.*?\)"', "secret", script))
    command = [*entrypoint, *it["command"]]
    return command[command.index("livepeer-async") + 1 :]


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.stem)
def test_copied_files_exist(path):
    copied = [
        source
        for instruction, arguments in instructions(path)
        if instruction == "COPY" and "--from" not in arguments
        for source in arguments.split()[:-1]
        if not source.startswith("--")
    ]
    assert "livepeer_async" in copied
    assert [source for source in copied if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.stem)
def test_container_has_no_root_rights(path):
    users = [arguments for instruction, arguments in instructions(path) if instruction == "USER"]
    assert users == ["10001"]


@pytest.mark.parametrize("service", OURS)
def test_command_of_service_is_accepted(service):
    done = command_line.run(*command_of(service), "--help")
    assert done.returncode == 0, done.stderr.decode()
    assert "Usage" in done.stdout.decode()


@pytest.mark.parametrize("path", CONTAINERFILES, ids=lambda path: path.stem)
def test_default_command_is_accepted(path):
    command = [*list_of(path, "ENTRYPOINT"), *list_of(path, "CMD"), "--help"]
    done = command_line.run(*command[command.index("livepeer-async") + 1 :])
    assert done.returncode == 0, done.stderr.decode()


def test_services_refer_to_what_is_declared():
    for name, service in SERVICES.items():
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"]), name
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        used = re.findall(r"/run/secrets/(\w+)", str(service))
        assert set(used) <= set(service.get("secrets", [])), name
    for service in OURS.values():
        assert (FOLDER / service["build"]["context"]).resolve() == ROOT
        assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert SERVICES["worker"]["deploy"]["replicas"] == 3


def test_entrypoint_passes_secrets_of_files_on(tmp_path):
    (tmp_path / "livepeer_api_key").write_text("my-key\n")
    (tmp_path / "postgres_password").write_text("correct horse\n")
    program = "import os; print(os.environ['LIVEPEER_API_KEY'], os.environ['PGPASSWORD'])"
    done = subprocess.run(
        ["sh", FOLDER / "entrypoint.sh", sys.executable, "-c", program],
        env={**os.environ, "SECRETS_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "my-key correct horse\n"


def test_certificate_is_valid_for_server_and_client(tmp_path):
    secrets = make_secrets(tmp_path / "secrets")
    first = {path: path.read_bytes() for path in secrets.iterdir()}
    make_secrets(secrets)
    assert {path: path.read_bytes() for path in secrets.iterdir()} == first
    assert {path.name for path in secrets.iterdir()} == set(COMPOSE["secrets"])
    assert {path.stat().st_mode & 0o77 for path in secrets.iterdir()} == {0}
    context = ssl.create_default_context(cafile=str(secrets / "tls_ca"))
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_verify_locations(secrets / "tls_ca")
    server.verify_mode = ssl.CERT_REQUIRED
    for it in (context, server):
        it.load_cert_chain(secrets / "tls_cert", secrets / "tls_key")
    assert shake_hands(context, server, "postgres")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake_hands(context, server, "elsewhere")


def make_secrets(folder):
    """Create the secrets of the compose file."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl on the path")
    command = ["sh", FOLDER / "certificates.sh", folder]
    subprocess.run(command, check=True, capture_output=True)
    return folder


def shake_hands(client, server, name):
    """Perform a handshake in memory; return the server's name for the client."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=name),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return ends[1].getpeercert()


@pytest.mark.cluster
def test_services_work_together(tmp_path):
    secrets = make_secrets(tmp_path / "secrets")
    (tmp_path / "videos").mkdir()
    for number in range(20):
        (tmp_path / "videos" / f"{number}.mp4").write_bytes(os.urandom(100_000))
    pair = (secrets / "tls_key").read_bytes() + (secrets / "tls_cert").read_bytes()
    certificate = SimpleNamespace(private_key_and_cert_chain_pem=trustme.Blob(pair))
    key = (secrets / "livepeer_api_key").read_text().strip()
    password = (secrets / "postgres_password").read_text().strip()
    with PostgresServer(certificate=certificate) as server, Sandbox(api_key=key) as sandbox:
        server.execute(f"CREATE ROLE livepeer LOGIN PASSWORD '{password}'")
        server.execute("CREATE DATABASE livepeer OWNER livepeer")
        addresses = {
            "@postgres/": f"@127.0.0.1:{server.port}/",
            "0.0.0.0:8786": f"127.0.0.1:{(port := free_port())}",
            "coordinator:8786": f"127.0.0.1:{port}",
            "/run/secrets": str(secrets),
            "/videos": str(tmp_path / "videos"),
        }
        services = ["coordinator", *["worker"] * SERVICES["worker"]["deploy"]["replicas"]]
        with ExitStack() as stack:
            started = [
                stack.enter_context(started_service(name, addresses, sandbox)) for name in services
            ]
            output, errors = started[0].communicate(timeout=100)
            assert started[0].returncode == 0, (output, errors)
        ready = [asset.name for asset in sandbox.assets if asset.phase == "ready"]
        assert len(ready) == len(set(ready)) == 20
        assert sandbox.violations == []


@contextmanager
def started_service(name, addresses, sandbox):
    """Start the command of a service here, until the block ends."""
    command = command_of(name)
    for address, local in addresses.items():
        command = [argument.replace(address, local) for argument in command]
    environment = {
        **command_line.environment(LIVEPEER_BASE_URL=sandbox.base_url),
        "SECRETS_FOLDER": addresses["/run/secrets"],
    }
    with subprocess.Popen(
        ["sh", FOLDER / "entrypoint.sh", *command_line.COMMAND, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)
