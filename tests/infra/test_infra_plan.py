"""The plan at synth: the planner's own figures, for the environment's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from aws_cdk.assertions import Annotations, Match

from eventstore.plan import Workload, plan_for
from eventstore.plan.report import in_short
from infra.plan import TOO_FEW_SHARDS
from infra.settings import Settings
from tests.infra.conftest import ENVIRONMENTS, Synthesized, context


def told(app: Synthesized) -> list[str]:
    found = Annotations.from_stack(app.stacks[0]).find_info("*", Match.any_value())
    return [str(message.entry.data) for message in found]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_synth_tells_the_plan_of_the_environment(environment: str, apps: Mapping[str, Synthesized]) -> None:
    workload = Settings.from_context(context(environment=environment)).workload
    assert told(apps[environment]) == ["\n".join(in_short(plan_for(workload)))]


def test_figures_of_the_settings_are_those_of_the_command_line(prod: Synthesized) -> None:
    text = told(prod)[0]
    assert "Plan for 4,000 events/s of 1 KB" in text
    assert "write shards: 5 = ceil(4,000 x ceil(1) / (1,000 x 80 %)); at least 4 =" in text
    assert "write units a second: table 4,000, index 4,000, log 529" in text
    assert "publisher 9 of 4, log writer 2 of 4" in text
    assert "gives way at 1,860 events/s: Publisher: one batch a stream shard at a time" in text
    assert "python -m eventstore.plan --events-per-second 4000 --item-kb 1;" in text


def test_template_keeps_the_figures(prod: Synthesized) -> None:
    kept = prod.data["Metadata"]["Plan"]
    plan = plan_for(Workload(events_per_second=4_000, api_requests_per_second=2_000))
    assert {name: float(value) for name, value in kept["capacity"].items()} == {
        figure.name: figure.value for figure in plan.capacity.figures()
    }
    assert {type(value) for value in kept["capacity"].values()} == {int, str}
    assert kept["capacity"]["write_shards"] == 5
    assert kept["limits"] == {limit.name: round(limit.events_per_second) for limit in plan.limits}


def test_functions_write_as_many_shards_as_the_plan_has(prod: Synthesized) -> None:
    functions = prod.properties("AWS::Lambda::Function")
    append = next(function for function in functions if function["Handler"] == "append.handler")
    shards = prod.data["Metadata"]["Plan"]["capacity"]["write_shards"]
    assert append["Environment"]["Variables"]["WRITE_SHARDS"] == f"{shards}"


def test_too_few_shards_are_warned_of(synthesize: Callable[..., Synthesized]) -> None:
    app = synthesize(environment="local", eventsPerSecond=4_000, writeShards=3)
    (warning,) = (entry.data for entry in app.warnings())
    assert "writeShards is 3, but 4,000 events a second need 4 at least" in str(warning)
    assert TOO_FEW_SHARDS in str(warning)
    assert "write shards: 3 = as given" in told(app)[0]


def test_enough_shards_are_not_warned_of(synthesize: Callable[..., Synthesized]) -> None:
    assert synthesize(environment="local", eventsPerSecond=4_000, writeShards=4).warnings() == []


def test_settings_are_planned_as_they_are() -> None:
    found = Settings.from_context(
        context(
            environment="local",
            eventsPerSecond=300,
            averageItemKb=2.5,
            logTranches=8,
            logBatchSize=500,
            logWindowS=2,
            publishBatchSize=50,
            publishWindowS=1,
            apiRequestsPerSecond=70,
        )
    ).workload
    assert found == Workload(
        events_per_second=300,
        item_kb=2.5,
        utilisation_percent=100,
        log_tranches=8,
        log_batch_size=500,
        log_window_s=2,
        batch_size=50,
        window_s=1,
        api_requests_per_second=70,
    )
