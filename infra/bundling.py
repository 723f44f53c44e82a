"""Lambda packages without Docker: pip fetches the wheels of the platform that a package is for.

A package holds its handler module, `lambdas/settings.py`, the `eventstore` library without its development
parts, and the wheels that `lambdas/requirements-<name>.txt` pins. boto3 is among them, so that functions run
on the one that the tests ran on, with the models of the services that they ask (docs/adr/0012). When this
Python is of the version that the package is for, the bytecode goes in as well. The asset's hash is that of
everything that goes in, so that an unchanged package is neither built nor uploaded again.
"""

import atexit
import hashlib
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

_PYTHON: Final = ".".join(map(str, sys.version_info[:2]))
_ROOT: Final = Path(__file__).resolve().parent.parent
_LAMBDAS: Final = _ROOT / "lambdas"
_LIBRARY: Final = _ROOT / "eventstore"
_DEVELOPMENT_PARTS: Final = ("__main__.py", "cli/", "http/docs/", "plan/", "testing/")
_PIP: Final = (sys.executable, "-m", "pip", "--no-color", "--no-input", "--disable-pip-version-check")
_INSTALL: Final = (*_PIP, "install", "--quiet", "--no-compile", "--only-binary=:all:")
_PIN: Final = re.compile(r"^([\w.-]+)==", re.MULTILINE)
_SERVICES: Final = frozenset({"dynamodb", "events", "lambda", "sqs", "stepfunctions"})
"""The services of which functions make clients; the models of all others are nine tenths of botocore."""
_LICENCE: Final = re.compile(r"licen[cs]e|notice|copying|authors", re.IGNORECASE)


class BundlingError(RuntimeError):
    """A package could not be built; the message says why, and how to repair it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a package is built for: the function's architecture, and pip's words for the platform."""

    description: str
    architecture: Literal["arm64", "x86_64"]
    python: tuple[int, int]
    pip_arguments: tuple[str, ...]

    @property
    def takes_bytecode(self) -> bool:
        """Whether the bytecode that this Python writes is what the functions' Python reads."""
        return sys.implementation.name == "cpython" and self.python == sys.version_info[:2]


_Pins = tuple[str, ...]
_INSTALLED: Final[dict[tuple[Target, _Pins], Path]] = {}
"""The wheels of each set of pins, until this process ends: packages share them, and pip is slow."""

AWS: Final = Target(
    description="AWS Lambda, arm64, Python 3.13",
    architecture="arm64",
    python=(3, 13),
    # The runtime of Python 3.13 is Amazon Linux 2023, whose glibc (2.34) takes wheels for any older one.
    pip_arguments=(
        "--platform=manylinux_2_28_aarch64",
        "--platform=manylinux2014_aarch64",
        "--implementation=cp",
        "--python-version=3.13",
    ),
)
MACHINE: Final = Target(
    description=f"this machine, {platform.machine()}, Python {platform.python_version()}",
    architecture="arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "x86_64",
    python=sys.version_info[:2],
    pip_arguments=(),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """The deployment package of the function in `lambdas/<name>.py`."""

    name: str
    target: Target

    def code(self) -> lambda_.Code:
        """The package as an asset; it is built at synth, unless cdk.out holds one of this hash."""
        return lambda_.Code.from_asset(
            str(_LAMBDAS),
            asset_hash=self.fingerprint(),
            asset_hash_type=AssetHashType.CUSTOM,
            bundling=BundlingOptions(
                image=DockerImage.from_registry("docker-is-not-used"), local=_LocalBundling(self)
            ),
        )

    def fingerprint(self) -> str:
        """The hash of all that goes in, this recipe included."""
        digest = hashlib.sha256(self.target.description.encode() + Path(__file__).read_bytes())
        if self.target.takes_bytecode:
            digest.update(importlib.util.MAGIC_NUMBER)
        for path in (self._requirements, *self._sources()):
            content = path.read_bytes()
            digest.update(f"\n{path.relative_to(_ROOT).as_posix()} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()

    def build(self, directory: Path) -> None:
        """Writes the package's files into `directory`, which is empty.

        Raises `BundlingError` when pip fails, or brings in a distribution that the requirements don't pin.
        """
        bytecode = "" if self.target.takes_bytecode else f", without bytecode: this is Python {_PYTHON}"
        sys.stderr.write(f"Packaging {self.name} ({self.target.description}{bytecode}) ...\n")
        self._install_wheels(directory)
        for path in self._sources():
            copy = directory / path.relative_to(_LAMBDAS if path.parent == _LAMBDAS else _ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        if self.target.takes_bytecode:
            _compile(directory)

    @property
    def _requirements(self) -> Path:
        return _LAMBDAS / f"requirements-{self.name}.txt"

    def _sources(self) -> Iterator[Path]:
        yield _LAMBDAS / f"{self.name}.py"
        yield _LAMBDAS / "settings.py"
        for path in sorted((*_LIBRARY.rglob("*.py"), *_LIBRARY.rglob("*.json"))):
            if not path.relative_to(_LIBRARY).as_posix().startswith(_DEVELOPMENT_PARTS):
                yield path

    def _install_wheels(self, directory: Path) -> None:
        lines = self._requirements.read_text("utf-8").splitlines()
        of = (self.target, tuple(line for line in lines if line and not line.startswith("#")))
        if of not in _INSTALLED:
            installed = Path(tempfile.mkdtemp(prefix="wheels-"))
            atexit.register(shutil.rmtree, installed, ignore_errors=True)
            self._run_pip(installed)
            _INSTALLED[of] = installed
        shutil.copytree(_INSTALLED[of], directory, dirs_exist_ok=True)

    def _run_pip(self, directory: Path) -> None:
        command = (*_INSTALL, f"--target={directory}", f"--requirement={self._requirements}")
        pip = subprocess.run(
            (*command, *self.target.pip_arguments), capture_output=True, text=True, check=False
        )
        if pip.returncode != 0:
            raise BundlingError(
                f"pip found no wheels for {self.target.description} of what {self._requirements} pins: see "
                f"below. It needs the package index, a pip in {sys.executable} (python3 -m ensurepip), and "
                f"versions that have such wheels. Docker is never tried instead.\n{pip.stderr.strip()}"
            )
        pinned = {_normalized(name) for name in _PIN.findall(self._requirements.read_text("utf-8"))}
        for metadata in directory.glob("*.dist-info"):
            name, _, version = metadata.stem.partition("-")
            if _normalized(name) not in pinned:
                raise BundlingError(f"pip also brought in {name}=={version}: pin it in {self._requirements}.")
            _strip_metadata(metadata)
        _strip_models(directory)
        shutil.rmtree(directory / "bin", ignore_errors=True)  # console scripts


def _compile(directory: Path) -> None:
    """Adds bytecode, read unchecked: a function can't keep its own, and would compile at each start."""
    # In a process of its own, one file after the other: what is written depends on what was compiled before.
    options = ("-q", "-j1", f"-s{directory}", "-p/var/task", "--invalidation-mode=unchecked-hash")
    command = (sys.executable, "-I", "-m", "compileall", *options, str(directory))
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BundlingError(f"A module can't be compiled by {sys.executable}: {done.stdout.strip()}")


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _strip_metadata(directory: Path) -> None:
    """Leaves the licences of a distribution's metadata: they must go with every copy, the rest is pip's."""
    for path in sorted(directory.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif not _LICENCE.search(path.name):
            path.unlink()


def _strip_models(directory: Path) -> None:
    """Leaves of botocore's data the models of `_SERVICES`, and the files that are about all services."""
    for path in directory.glob("botocore/data/*/"):
        if path.name not in _SERVICES and path.is_dir():
            shutil.rmtree(path)
    for of_boto3 in ("data", "examples"):  # resources, and text for its documentation
        shutil.rmtree(directory / "boto3" / of_boto3, ignore_errors=True)


@jsii.implements(ILocalBundling)
class _LocalBundling:
    def __init__(self, package: Package) -> None:
        self._package = package

    def try_bundle(self, output_dir: str, *_options: Any, **_more_options: Any) -> bool:
        # Never False: the CDK would take that for a wish to use Docker.
        self._package.build(Path(output_dir))
        return True
