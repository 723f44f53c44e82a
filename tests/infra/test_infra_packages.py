"""The packages themselves, built by pip from the registry: what is inside, and that it runs."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pytest

from infra import bundling
from infra.bundling import AWS, MACHINE, BundlingError, Package, Target
from tests.infra.conftest import ROOT, Synthesized

NAMES = ("append", "read", "publish", "log", "replay", "replays", "parked")
BOTO3 = {"boto3", "botocore", "dateutil", "s3transfer", "six.py", "urllib3"}
POWERTOOLS = {*BOTO3, "aws_lambda_powertools", "jmespath", "typing_extensions.py"}
THIRD_PARTY = {
    "append": {*POWERTOOLS, "backports", "msgspec"},
    "read": {*POWERTOOLS, "backports", "msgspec"},
    "publish": {*POWERTOOLS, "backports"},
    "log": {*POWERTOOLS, "backports"},
    "replay": {*POWERTOOLS, "backports"},
    "replays": {*POWERTOOLS, "msgspec"},
    "parked": POWERTOOLS,
}
ZIPPED_MAX_BYTES = {
    name: 15_000_000 if "msgspec" in third_party else 8_000_000 for name, third_party in THIRD_PARTY.items()
}

EM_AARCH64 = 183


def build_all(directory: Path, target: Target) -> dict[str, Path]:
    built = {name: directory / name for name in NAMES}
    for name, package in built.items():
        package.mkdir()
        Package(name=name, target=target).build(package)
    return built


def files(package: Path) -> dict[str, bytes]:
    return {
        path.relative_to(package).as_posix(): path.read_bytes()
        for path in package.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="session")
def for_aws(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The packages as they go to AWS."""
    return build_all(tmp_path_factory.mktemp("aws"), AWS)


@pytest.fixture(scope="session")
def for_machine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The packages as they go to the local cloud."""
    return build_all(tmp_path_factory.mktemp("machine"), MACHINE)


@pytest.mark.parametrize("name", NAMES)
def test_a_package_holds_its_handler_the_library_and_the_pinned_wheels(
    name: str, for_aws: Mapping[str, Path]
) -> None:
    inside = {path.name for path in for_aws[name].iterdir() if path.suffix != ".dist-info"}
    assert inside - {"__pycache__"} == {f"{name}.py", "settings.py", "eventstore", *THIRD_PARTY[name]}


@pytest.mark.parametrize("name", NAMES)
def test_the_library_goes_in_without_its_development_parts(name: str, for_aws: Mapping[str, Path]) -> None:
    packaged = {path for path in files(for_aws[name]) if re.match(r"eventstore/.*\.py$", path)}
    development = re.compile(r"eventstore/(testing|cli|http/docs|plan|__main__)(/|\.py)")
    source = {path.relative_to(ROOT).as_posix() for path in (ROOT / "eventstore").rglob("*.py")}
    assert packaged == {path for path in source if not development.match(path)}


@pytest.mark.parametrize("name", NAMES)
def test_a_package_is_small(name: str, for_aws: Mapping[str, Path], tmp_path: Path) -> None:
    zipped = Path(shutil.make_archive(str(tmp_path / name), "zip", for_aws[name]))
    print(f"{name}: {zipped.stat().st_size / 1_000_000:.2f} MB zipped")  # shown with `pytest -rP`
    assert zipped.stat().st_size < ZIPPED_MAX_BYTES[name]


@pytest.mark.parametrize("name", ["append", "read"])
def test_compiled_modules_are_for_arm64_and_python_3_13(name: str, for_aws: Mapping[str, Path]) -> None:
    compiled = {path: content for path, content in files(for_aws[name]).items() if path.endswith(".so")}
    assert compiled
    for path, content in compiled.items():
        assert ".cpython-313-aarch64-linux-gnu.so" in path
        assert content[:4] == b"\x7fELF"
        assert int.from_bytes(content[18:20], "little") == EM_AARCH64


@pytest.mark.parametrize("name", NAMES)
def test_of_metadata_the_licences_alone_are_kept(name: str, for_aws: Mapping[str, Path]) -> None:
    kept = [path for path in files(for_aws[name]) if ".dist-info/" in path]
    assert {path.partition("-")[0] for path in kept} >= {"aws_lambda_powertools", "jmespath"}
    assert all(re.search(r"licen[cs]e|notice", path.rpartition("/")[2], re.IGNORECASE) for path in kept)


@pytest.mark.parametrize("name", NAMES)
def test_boto3_in_a_package_is_the_one_that_the_tests_run_on(name: str) -> None:
    pins = (ROOT / "lambdas" / f"requirements-{name}.txt").read_text("utf-8").splitlines()
    tested = (ROOT / "localcloud" / "requirements.txt").read_text("utf-8").splitlines()
    of_boto3 = {
        pin for pin in pins if pin.partition("==")[0] in {"boto3", "botocore", "urllib3", "s3transfer"}
    }
    assert len(of_boto3) == 4
    assert of_boto3 <= {pin.strip() for pin in tested}


@pytest.mark.parametrize("name", NAMES)
def test_boto3_in_a_package_knows_the_services_of_the_functions_alone(
    name: str, for_aws: Mapping[str, Path]
) -> None:
    services = {path.name for path in (for_aws[name] / "botocore" / "data").iterdir() if path.is_dir()}
    modules = [*(ROOT / "lambdas").glob("*.py"), *(ROOT / "eventstore" / "aws").glob("*.py")]
    asked = {
        service
        for module in modules
        for service in re.findall(r"""\bclient\("([a-z]+)\"""", module.read_text("utf-8"))
    }
    assert services == asked | {"dynamodb"}


def test_every_client_of_a_function_can_be_made_from_its_package(for_machine: Mapping[str, Path]) -> None:
    """With endpoints of its own, of AWS in other partitions too, and without a network."""
    code = (
        "import sys; sys.path[:0] = [sys.argv[1]]; import boto3, botocore.session; "
        "of = boto3.Session(aws_access_key_id='k', aws_secret_access_key='s'); "
        "print(*(of.client(service, region_name=region).meta.endpoint_url "
        "for service in ('dynamodb', 'events', 'lambda', 'sqs', 'stepfunctions') "
        "for region in ('eu-west-1', 'cn-north-1')))"
    )
    made = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", code, str(for_machine["replay"])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    assert "https://states.cn-north-1.amazonaws.com.cn" in made.stdout.split()
    assert len(made.stdout.split()) == 10


@pytest.mark.parametrize("target", [AWS, MACHINE], ids=["aws", "machine"])
def test_each_module_has_its_bytecode_when_pythons_versions_agree(
    target: Target, for_aws: Mapping[str, Path], for_machine: Mapping[str, Path]
) -> None:
    inside = files({AWS: for_aws, MACHINE: for_machine}[target]["publish"])
    modules = {path.removesuffix(".py") for path in inside if path.endswith(".py")}
    compiled = {
        re.sub(r"__pycache__/(\w+)\.cpython-\d+$", r"\1", path.removesuffix(".pyc")): content
        for path, content in inside.items()
        if path.endswith(".pyc")
    }
    assert set(compiled) == (modules if target.python == sys.version_info[:2] else set())
    for content in compiled.values():
        assert content[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(content[4:8], "little") == 0b01  # by hash, and unchecked


def test_a_package_is_the_same_however_often_it_is_built(
    for_machine: Mapping[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "_INSTALLED", {})  # pip runs again
    Package(name="publish", target=MACHINE).build(tmp_path)
    assert files(tmp_path) == files(for_machine["publish"])


@pytest.mark.parametrize("name", NAMES)
def test_a_function_starts_from_its_package_with_the_variables_it_is_given(
    name: str, for_machine: Mapping[str, Path], apps: Mapping[str, Synthesized]
) -> None:
    """Of the runtime it takes Python alone, and it compiles nothing."""
    function = next(
        of for of in apps["local"].properties("AWS::Lambda::Function") if of["Handler"] == f"{name}.handler"
    )
    variables = {
        key: value if isinstance(value, str) else "https://resource.example.com"
        for key, value in function["Environment"]["Variables"].items()
    }
    code = (
        "import sys; package = sys.argv[1]; sys.path[:0] = [package]; "
        "compiled = []; "
        "sys.addaudithook(lambda event, args: event != 'compile' or compiled.append(str(args[1]))); "
        f"import {name}; assert callable({name}.handler); "
        "assert not any(file.startswith(package) for file in compiled), compiled; "
        "import boto3, botocore; assert boto3.__file__.startswith(package), boto3.__file__; "
        "print(boto3.__version__, botocore.__version__)"
    )
    started = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", code, str(for_machine[name])],
        env={"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert started.returncode == 0, started.stderr
    assert started.stdout.split() == [version("boto3"), version("botocore")]


def test_pip_runs_once_for_packages_of_the_same_pins(
    requirements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def pip(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[str]:
        (target,) = (of.removeprefix("--target=") for of in command if of.startswith("--target="))
        calls.append(command)
        (Path(target) / f"wheel{len(calls)}.so").touch()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(bundling, "_INSTALLED", {})
    monkeypatch.setattr(bundling.subprocess, "run", pip)
    monkeypatch.setattr(Target, "takes_bytecode", False)
    found = []
    for number, (target, pins) in enumerate(
        [(AWS, "# a\na==1\n"), (AWS, "# b\n\na==1\n"), (AWS, "a==2\n"), (MACHINE, "a==1\n")]
    ):
        requirements.write_text(pins, "utf-8")
        package = tmp_path / str(number)
        package.mkdir()
        Package(name="empty", target=target).build(package)
        found += [path.name for path in package.glob("*.so")]
    assert found == ["wheel1.so", "wheel1.so", "wheel2.so", "wheel3.so"]


# --- what goes wrong --------------------------------------------------------------------------------


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of Lambdas with one function, `empty`, whose requirements the test writes."""
    monkeypatch.setattr(bundling, "_LAMBDAS", tmp_path)
    for module in ("empty", "settings"):
        (tmp_path / f"{module}.py").touch()
    return tmp_path / "requirements-empty.txt"


def test_a_distribution_that_is_not_pinned_is_refused(requirements: Path, tmp_path: Path) -> None:
    requirements.write_text("aws-lambda-powertools==3.37.0\njmespath==1.1.0\n", "utf-8")
    package = tmp_path / "package"
    package.mkdir()
    with pytest.raises(
        BundlingError, match=r"also brought in typing_extensions==[\d.]+: pin it in .*empty\.txt"
    ):
        Package(name="empty", target=AWS).build(package)


def test_a_version_without_such_wheels_is_refused_and_docker_not_tried(
    requirements: Path, tmp_path: Path
) -> None:
    requirements.write_text("msgspec==0.0.1\n", "utf-8")
    with pytest.raises(BundlingError, match=r"no wheels for AWS Lambda, arm64(?s:.*)Docker is never tried"):
        Package(name="empty", target=AWS).build(tmp_path)


# --- what is built anew -----------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what goes into packages, for a test to change."""
    for folder in ("lambdas", "eventstore"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    monkeypatch.setattr(bundling, "_ROOT", tmp_path)
    monkeypatch.setattr(bundling, "_LAMBDAS", tmp_path / "lambdas")
    monkeypatch.setattr(bundling, "_LIBRARY", tmp_path / "eventstore")
    return tmp_path


def test_a_copy_of_the_checkout_has_the_same_fingerprints(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = [Package(name=name, target=AWS).fingerprint() for name in NAMES]
    monkeypatch.undo()
    assert [Package(name=name, target=AWS).fingerprint() for name in NAMES] == copied


@pytest.mark.parametrize(
    ("changed", "packages"),
    [
        ("lambdas/append.py", {"append"}),
        ("lambdas/requirements-read.txt", {"read"}),
        ("lambdas/settings.py", {*NAMES}),
        ("eventstore/limits.py", {*NAMES}),
        ("eventstore/testing/__init__.py", set()),
        ("eventstore/py.typed", set()),
    ],
)
def test_a_package_is_built_anew_when_something_in_it_changes(
    changed: str, packages: set[str], checkout: Path
) -> None:
    before = {name: Package(name=name, target=AWS).fingerprint() for name in NAMES}
    with (checkout / changed).open("a", encoding="utf-8") as file:
        file.write("# changed\n")
    after = {name: Package(name=name, target=AWS).fingerprint() for name in NAMES}
    assert {name for name in NAMES if before[name] != after[name]} == packages


def test_packages_for_aws_and_for_this_machine_never_mix() -> None:
    fingerprints = {Package(name="append", target=target).fingerprint() for target in (AWS, MACHINE)}
    assert len(fingerprints) == 2
