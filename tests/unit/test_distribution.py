"""The distribution as it's published: built, installed into an empty environment, and used there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from uuid import uuid4
from zipfile import ZipFile

import pytest

import eventstore

ROOT = Path(__file__).parents[2]
RUN_COMMAND = "runpy.run_module('eventstore', run_name='__main__', alter_sys=True)"
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([*PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT], check=True)
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with this distribution and nothing else."""
    folder = tmp_path_factory.mktemp("site")
    subprocess.run([*PIP, "install", "--quiet", "--target", folder, wheel], check=True)
    return folder


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name))


def run(site: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run Python with this environment alone: no site-packages, no checkout."""
    code = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); " + arguments[0]
    return subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", code, str(site), *arguments[1:]],
        cwd=site, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_wheel_holds_the_library_its_types_and_its_licence_alone(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    library = {name for name in names if ".dist-info/" not in name}
    source = {path.relative_to(ROOT).as_posix() for path in (ROOT / "eventstore").rglob("*.py")}
    assert library == {
        *source,
        "eventstore/http/openapi.json",
        "eventstore/py.typed",
    }
    [licence] = [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    assert licence


def test_metadata_says_what_a_user_looks_for(metadata: Message) -> None:
    assert metadata["Name"] == "eventstore-dynamodb"
    assert metadata["Version"] == eventstore.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Author"] == "eventstore-dynamodb contributors"
    assert metadata["Requires-Python"] == ">=3.11"
    assert {*metadata.get_all("Provides-Extra", [])} == {
        "cli",
        "codec",
        "dynamodb",
        "http",
        "testing",
        "zstd",
    }
    assert all("extra ==" in needed for needed in metadata.get_all("Requires-Dist", []))
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])
    assert metadata["Description-Content-Type"] == "text/markdown"


def test_library_works_in_an_environment_that_has_nothing_else(site: Path) -> None:
    code = (
        "from eventstore import NewEvent; "
        "from eventstore.memory.store import MemoryEventStore; "
        "store = MemoryEventStore(); "
        "store.append('order-1', [NewEvent.of('OrderPlaced', {'total': 12})], expected=0); "
        "print([event.name for event in store.read_stream('order-1')])"
    )
    done = run(site, code)
    assert (done.stdout, done.stderr) == ("['OrderPlaced']\n", "")


def test_commands_say_what_they_lack(site: Path) -> None:
    for argument in ("--version", "--help", "verify"):
        lacking = run(site, RUN_COMMAND, argument)
        assert (lacking.returncode, lacking.stdout) == (2, "")
        assert lacking.stderr == "click isn't installed here: pip install 'eventstore-dynamodb[cli]'\n"


def readmes_python() -> str:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "Decider" in block)
    return code


def test_readmes_python_runs_in_memory_and_on_tables_that_are_made_for_it(
    site: Path, dynamodb_endpoint: str
) -> None:
    """From the wheel alone; boto3 and msgspec, which its extras bring, are those of this environment."""
    extras = f"sys.path.append({sysconfig.get_path('purelib')!r}); "
    environ = {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamodb_endpoint,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "PATH": os.environ["PATH"],
    }
    prefix = f"readme-{uuid4().hex}"
    command = f"sys.argv[1:] = ['create-tables', '--prefix', '{prefix}']; "
    made = run(site, extras + command + RUN_COMMAND, env=environ)
    assert made.returncode == 0, made.stderr
    names = re.findall(r"^export (\w+_TABLE)=(\S+)$", made.stdout, re.MULTILINE)
    tables = ", ".join(f"{variable.lower()}={name!r}" for variable, name in names)

    for store in ('"memory:"', tables):
        code = readmes_python().replace('connect("memory:")', f"connect({store})")
        told = "import eventstore; assert eventstore.__file__.startswith(sys.path[0]); "
        done = run(site, extras + told + f"exec({code!r}, {{'__name__': 'readme'}})", env=environ)
        assert (done.stdout, done.stderr) == ("70 2\n", "")
