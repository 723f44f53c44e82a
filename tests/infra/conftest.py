"""The app, synthesized once for each environment; no package is built for that."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# The CDK's kernel is a Node program, which is installed beside this Python.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

from aws_cdk import App, Stack
from aws_cdk.assertions import Annotations, Match, Template

from app import compose

ROOT = Path(__file__).parents[2]
ENVIRONMENTS = ("dev", "prod", "local")
LOCAL_REPLAY_TARGETS = (
    "arn:aws:sqs:us-east-1:000000000000:*",
    "arn:aws:lambda:us-east-1:000000000000:function:*",
    "arn:aws:events:us-east-1:000000000000:event-bus/*",
)
"""Where `local`, and no other environment, lets anybody replay to."""

Resources = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Synthesized:
    """The app as it would be deployed: its stacks, and their templates as JSON."""

    stacks: tuple[Stack, Stack]
    data: dict[str, Any]
    service: dict[str, Any]

    def resources(self, kind: str) -> Resources:
        """All resources of a CloudFormation type, of both stacks, by logical id."""
        both = self.data["Resources"] | self.service["Resources"]
        return {name: resource for name, resource in both.items() if resource["Type"] == kind}

    def properties(self, kind: str) -> list[dict[str, Any]]:
        return [resource["Properties"] for resource in self.resources(kind).values()]

    def resolve(self, value: Any) -> str:
        """A reference as short text: `EventsTable4B7491D3.Arn`, an import by what its export stands for."""
        match value:
            case str():
                return value
            case {"Ref": name}:
                return str(name)
            case {"Fn::GetAtt": [name, attribute]}:
                return f"{name}.{attribute}"
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(self.resolve(part) for part in parts)
            case {"Fn::ImportValue": exported}:
                exports = (output for output in self.data["Outputs"].values() if "Export" in output)
                return next(self.resolve(of["Value"]) for of in exports if of["Export"]["Name"] == exported)
        raise AssertionError(f"a reference of a new kind: {value}")

    def warnings(self) -> list[Any]:
        found = (Annotations.from_stack(stack).find_warning("*", Match.any_value()) for stack in self.stacks)
        return [message.entry for of_stack in found for message in of_stack]


def context(**overrides: object) -> dict[str, Any]:
    """The context of cdk.json, with what the command line would add to it."""
    of_cdk_json: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text("utf-8"))["context"]
    return of_cdk_json | overrides


@pytest.fixture(scope="session")
def synthesize(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Synthesized]:
    """Synthesize the app with overrides; raises where cdk-nag finds fault."""

    def synthesized(**overrides: object) -> Synthesized:
        settings = context(**{"aws:cdk:bundling-stacks": []}, **overrides)
        app = App(context=settings, outdir=str(tmp_path_factory.mktemp("cdk")))
        stacks = compose(app=app)
        app.synth()
        data, service = (Template.from_stack(stack).to_json() for stack in stacks)
        return Synthesized(stacks, dict(data), dict(service))

    return synthesized


@pytest.fixture(scope="session")
def apps(synthesize: Callable[..., Synthesized]) -> Mapping[str, Synthesized]:
    """The app of each environment of cdk.json."""
    return {environment: synthesize(environment=environment) for environment in ENVIRONMENTS}


@pytest.fixture(scope="session")
def prod(apps: Mapping[str, Synthesized]) -> Synthesized:
    """The app as it stands for production."""
    return apps["prod"]


@pytest.fixture(params=ENVIRONMENTS)
def app(request: pytest.FixtureRequest, apps: Mapping[str, Synthesized]) -> Synthesized:
    """The app, environment by environment."""
    return apps[request.param]
