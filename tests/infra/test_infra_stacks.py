"""The templates: what CloudFormation will be told."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_sqs as sqs
from cdk_nag import AwsSolutionsChecks

from eventstore._store_parameter import StoreParameter
from eventstore.http.paths import API_ROUTES
from infra.constructs.alarms import UNHEARD
from infra.constructs.http_api import OPEN_API
from infra.settings import Settings
from tests.infra.conftest import LOCAL_REPLAY_TARGETS, ROOT, Synthesized, context

EMF_METRICS = {
    "Appended",
    "Conflicts",
    "Published",
    "Parked",
    "PublicationLag",
    "Logged",
    "PassedOver",
    "Blocks",
    "LogLag",
    "Replayed",
    "ReplaysStarted",
    "ReplaysWaiting",
    "ParkedEvents",
}


CFN_LINT = str(Path(sys.executable).parent / "cfn-lint")


JOURNAL = "JournalTableE0A5D4A5"


def only(found: list[Any]) -> Any:
    assert len(found) == 1
    return found[0]


# --- what holds the events -------------------------------------------------------------------------


def test_logical_ids_of_what_holds_state_never_change(app: Synthesized) -> None:
    """A changed id replaces the resource: CloudFormation would leave the events behind in the old one."""
    assert {
        kind: {*app.resources(kind)}
        for kind in ("AWS::DynamoDB::GlobalTable", "AWS::Events::EventBus", "AWS::SQS::Queue")
    } == {
        "AWS::DynamoDB::GlobalTable": {
            "EventsTable4B7491D3",
            "LogTable81E80B89",
            "SubscriptionsTable34714BC1",
            "ReplaysTable0996A4FF",
            JOURNAL,  # holds nothing that anybody would miss
        },
        "AWS::Events::EventBus": {"BusEA82B648"},
        "AWS::SQS::Queue": {
            "PublicationFailedEvents1C4EF162",
            "PublicationDroppedBatches865B39F1",
            "LogDroppedBatches2910D66C",
        },
    }


def test_table_has_the_keys_index_and_stream_of_the_schema(app: Synthesized) -> None:
    table = app.properties("AWS::DynamoDB::GlobalTable")[0]
    assert "TableName" not in table
    assert {of["AttributeName"]: of["AttributeType"] for of in table["AttributeDefinitions"]} == {
        "StreamId": "S",
        "EventId": "N",
        "GSIKey": "N",
        "Timestamp": "N",
    }
    assert table["KeySchema"] == [
        {"AttributeName": "StreamId", "KeyType": "HASH"},
        {"AttributeName": "EventId", "KeyType": "RANGE"},
    ]
    assert table["GlobalSecondaryIndexes"] == [
        {
            "IndexName": "ByTime",
            "KeySchema": [
                {"AttributeName": "GSIKey", "KeyType": "HASH"},
                {"AttributeName": "Timestamp", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "ALL"},
        }
    ]
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_log_table_has_the_keys_of_its_schema_and_no_stream(app: Synthesized) -> None:
    table = app.properties("AWS::DynamoDB::GlobalTable")[1]
    assert {of["AttributeName"]: of["AttributeType"] for of in table["AttributeDefinitions"]} == {
        "Tranche": "N",
        "Block": "N",
    }
    assert table["KeySchema"] == [
        {"AttributeName": "Tranche", "KeyType": "HASH"},
        {"AttributeName": "Block", "KeyType": "RANGE"},
    ]
    assert not {"TableName", "StreamSpecification", "GlobalSecondaryIndexes"} & table.keys()
    assert table["BillingMode"] == "PAY_PER_REQUEST"


def test_subscriptions_table_has_the_keys_and_the_index_of_its_schema(app: Synthesized) -> None:
    table = app.properties("AWS::DynamoDB::GlobalTable")[2]
    assert {of["AttributeName"]: of["AttributeType"] for of in table["AttributeDefinitions"]} == {
        "Subscription": "S",
        "Item": "S",
        "ParkedAt": "N",
    }
    assert table["KeySchema"] == [
        {"AttributeName": "Subscription", "KeyType": "HASH"},
        {"AttributeName": "Item", "KeyType": "RANGE"},
    ]
    assert table["GlobalSecondaryIndexes"] == [
        {
            "IndexName": "Parked",
            "KeySchema": [
                {"AttributeName": "Subscription", "KeyType": "HASH"},
                {"AttributeName": "ParkedAt", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ]
    assert not {"TableName", "StreamSpecification"} & table.keys()


def test_tables_are_encrypted_and_restorable_and_in_one_region(app: Synthesized) -> None:
    for name, of in app.resources("AWS::DynamoDB::GlobalTable").items():
        table = of["Properties"]
        assert table["SSESpecification"] == {"SSEEnabled": True, "SSEType": "KMS"}
        replica = only(table["Replicas"])
        assert replica["Region"] == {"Ref": "AWS::Region"}
        is_restorable = name != JOURNAL
        assert replica["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": is_restorable}


def test_journal_has_the_keys_of_its_schema_and_goes_with_the_functions(app: Synthesized) -> None:
    resource = app.resources("AWS::DynamoDB::GlobalTable")[JOURNAL]
    assert JOURNAL in app.service["Resources"]
    assert (resource["DeletionPolicy"], resource["UpdateReplacePolicy"]) == ("Delete", "Delete")
    table = resource["Properties"]
    assert table["KeySchema"] == [
        {"AttributeName": "Consumer", "KeyType": "HASH"},
        {"AttributeName": "WrittenAt", "KeyType": "RANGE"},
    ]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ExpiresAt", "Enabled": True}
    assert only(table["Replicas"])["DeletionProtectionEnabled"] is False
    assert not {"TableName", "StreamSpecification", "GlobalSecondaryIndexes"} & table.keys()


@pytest.mark.parametrize(("environment", "retained"), [("dev", True), ("prod", True), ("local", False)])
def test_data_outlives_its_stacks_but_for_the_local_cloud(
    environment: str, retained: bool, apps: Mapping[str, Synthesized]
) -> None:
    app = apps[environment]
    for kind in ("AWS::DynamoDB::GlobalTable", "AWS::Events::EventBus", "AWS::SQS::Queue"):
        for name, resource in app.resources(kind).items():
            if name == JOURNAL:
                continue
            assert resource["DeletionPolicy"] == ("Retain" if retained else "Delete")
            assert resource["UpdateReplacePolicy"] == ("Retain" if retained else "Delete")
            for replica in resource["Properties"].get("Replicas", ()):
                assert replica["DeletionProtectionEnabled"] is retained
    data, service = app.stacks
    assert (data.termination_protection, service.termination_protection) == (retained, False)


def test_outputs_tell_what_a_user_needs(app: Synthesized) -> None:
    told = {
        name
        for name, output in (app.data["Outputs"] | app.service["Outputs"]).items()
        if "Export" not in output
    }
    assert told == {
        *("EventsTableName", "LogTableName", "SubscriptionsTableName", "EventBusName", "EventBusArn"),
        *("ApiUrl", "FailedEventsQueueUrl", "DroppedBatchesQueueUrl", "UnloggedBatchesQueueUrl"),
    }


def test_stacks_are_bound_to_no_account_or_region(app: Synthesized) -> None:
    assert {stack.environment for stack in app.stacks} == {"aws://unknown-account/unknown-region"}


# --- functions -------------------------------------------------------------------------------------


def functions(app: Synthesized) -> dict[str, dict[str, Any]]:
    return {of["Handler"].removesuffix(".handler"): of for of in app.properties("AWS::Lambda::Function")}


def test_functions_are_traced_and_run_python_3_13(app: Synthesized) -> None:
    assert set(functions(app)) == {"append", "read", "publish", "log", "replay", "replays", "parked"}
    for function in functions(app).values():
        assert function["Runtime"] == "python3.13"
        assert function["TracingConfig"] == {"Mode": "Active"}
        assert "FunctionName" not in function


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_functions_run_on_arm64_on_aws(environment: str, apps: Mapping[str, Synthesized]) -> None:
    assert [of["Architectures"] for of in functions(apps[environment]).values()] == [["arm64"]] * 7


def test_each_function_has_its_own_log_group_and_role(app: Synthesized) -> None:
    groups = [function["LoggingConfig"]["LogGroup"]["Ref"] for function in functions(app).values()]
    roles = [app.resolve(function["Role"]) for function in functions(app).values()]
    assert len({*groups}) == len({*roles}) == 7
    assert {*groups} < app.resources("AWS::Logs::LogGroup").keys()


@pytest.mark.parametrize(("environment", "days"), [("dev", 14), ("prod", 90), ("local", 1)])
def test_every_log_group_has_the_retention_of_its_environment(
    environment: str, days: int, apps: Mapping[str, Synthesized]
) -> None:
    groups = apps[environment].properties("AWS::Logs::LogGroup")
    assert [group["RetentionInDays"] for group in groups] == [days] * 8  # seven functions and the API


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (
            "prod",
            {
                "append": {
                    "WRITE_SHARDS": "5",
                    "COMPRESSION": "none",
                    "CLOCKS": "checked",
                },
                "read": {"SETTLING_S": "10"},
                "publish": {
                    "EVENT_SOURCE": "eventstore",
                    "PUT_EVENTS_MAX_BYTES": "262144",
                    "PARTIAL_BATCH": "report",
                },
                "log": {"PARTIAL_BATCH": "report"},
                "replay": {"SETTLING_S": "10", "EVENT_SOURCE": "eventstore"},
                "replays": {"REPLAY_TARGETS": ""},
            },
        ),
        ("local", {"publish": {"PARTIAL_BATCH": "raise"}, "log": {"PARTIAL_BATCH": "raise"}}),
    ],
)
def test_functions_get_their_settings(
    environment: str, expected: dict[str, dict[str, str]], apps: Mapping[str, Synthesized]
) -> None:
    found = functions(apps[environment])
    for name, variables in expected.items():
        assert found[name]["Environment"]["Variables"].items() >= variables.items()


def test_functions_get_the_resources_they_work_with(prod: Synthesized) -> None:
    variables = {
        name: {
            key: prod.resolve(value)
            for key, value in function["Environment"]["Variables"].items()
            if not isinstance(value, str)
        }
        for name, function in functions(prod).items()
    }
    assert variables == {
        "append": {"EVENTS_TABLE": "EventsTable4B7491D3"},
        "read": {"EVENTS_TABLE": "EventsTable4B7491D3", "LOG_TABLE": "LogTable81E80B89"},
        "log": {
            "EVENTS_TABLE": "EventsTable4B7491D3",
            "JOURNAL_TABLE": "JournalTableE0A5D4A5",
            "LOG_TABLE": "LogTable81E80B89",
        },
        "replay": {
            "EVENTS_TABLE": "EventsTable4B7491D3",
            "REPLAYS_TABLE": "ReplaysTable0996A4FF",
            "API_URL": "HttpApi4E1D4184.ApiEndpoint",
        },
        "replays": {"REPLAYS_TABLE": "ReplaysTable0996A4FF", "REPLAY_MACHINE": "ReplaysMachine1F18F151"},
        "parked": {"SUBSCRIPTIONS_TABLE": "SubscriptionsTable34714BC1"},
        "publish": {
            "EVENTS_TABLE": "EventsTable4B7491D3",
            "JOURNAL_TABLE": "JournalTableE0A5D4A5",
            "EVENT_BUS": "BusEA82B648",
            "FAILED_EVENTS_QUEUE_URL": "PublicationFailedEvents1C4EF162",
            "API_URL": "HttpApi4E1D4184.ApiEndpoint",
        },
    }


def test_parameter_says_what_is_deployed_as_the_library_reads_it(app: Synthesized) -> None:
    parameter = only(app.properties("AWS::SSM::Parameter"))
    environment = parameter["Name"].removeprefix("/eventstore/")
    read = StoreParameter.parse(app.resolve(parameter["Value"]), parameter=parameter["Name"])
    settings = Settings.from_context(context(environment=environment))
    assert read == StoreParameter(
        events_table="EventsTable4B7491D3",
        log_table="LogTable81E80B89",
        subscriptions_table="SubscriptionsTable34714BC1",
        event_bus="BusEA82B648",
        api_url="HttpApi4E1D4184.ApiEndpoint",
        event_source="eventstore",
        failed_events_queue_url="PublicationFailedEvents1C4EF162",
        settling_s=10,
        compression="none",
        clocks=settings.clocks,
    )


# --- publication and log ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "dropped"),
    [
        ("PublicationPublisherFunction5C053667", "PublicationDroppedBatches865B39F1"),
        ("LogLogWriterFunctionAC8CE358", "LogDroppedBatches2910D66C"),
    ],
)
def test_mapping_keeps_order_and_loses_no_record(app: Synthesized, function: str, dropped: str) -> None:
    mapping = only(
        [
            {**of}
            for of in app.properties("AWS::Lambda::EventSourceMapping")
            if app.resolve(of["FunctionName"]) == function
        ]
    )
    del mapping["FunctionName"]
    assert app.resolve(mapping.pop("EventSourceArn")) == "EventsTable4B7491D3.StreamArn"
    destination = mapping.pop("DestinationConfig")["OnFailure"]["Destination"]
    assert app.resolve(destination) == f"{dropped}.Arn"
    assert mapping == {  # and no MaximumRetryAttempts: retries end with the record's age
        "BatchSize": 100,
        "BisectBatchOnFunctionError": True,
        "FilterCriteria": {"Filters": [{"Pattern": '{"eventName":["INSERT"]}'}]},
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MaximumBatchingWindowInSeconds": 0,
        "MaximumRecordAgeInSeconds": 82_800,
        "ParallelizationFactor": 1,
        "StartingPosition": "TRIM_HORIZON",
    }


def test_no_function_has_concurrency_reserved_unless_it_is_asked_for(app: Synthesized) -> None:
    """It would be taken from the account's, for all other functions, too."""
    assert not any("ReservedConcurrentExecutions" in of for of in app.properties("AWS::Lambda::Function"))


def test_reserved_concurrency_is_that_of_publisher_and_log_writer(
    synthesize: Callable[..., Synthesized],
) -> None:
    app = synthesize(environment="prod", publishReservedConcurrency=20, logReservedConcurrency=5)
    assert {
        name: of["Properties"]["ReservedConcurrentExecutions"]
        for name, of in app.resources("AWS::Lambda::Function").items()
        if "ReservedConcurrentExecutions" in of["Properties"]
    } == {"PublicationPublisherFunction5C053667": 20, "LogLogWriterFunctionAC8CE358": 5}


def test_publication_and_log_do_not_share_a_mapping(app: Synthesized) -> None:
    """Two: as many functions as a table's stream takes."""
    assert len(app.properties("AWS::Lambda::EventSourceMapping")) == 2


def test_queues_are_encrypted_and_refuse_plain_http_and_keep_for_14_days(app: Synthesized) -> None:
    for queue in app.properties("AWS::SQS::Queue"):
        assert queue["SqsManagedSseEnabled"] is True
        assert queue["MessageRetentionPeriod"] == 14 * 24 * 3_600
        assert "QueueName" not in queue
    policies = app.properties("AWS::SQS::QueuePolicy")
    assert {app.resolve(policy["Queues"][0]) for policy in policies} == {*app.resources("AWS::SQS::Queue")}
    for policy in policies:
        statement = only(policy["PolicyDocument"]["Statement"])
        assert (statement["Effect"], statement["Action"]) == ("Deny", "sqs:*")
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


# --- the API ---------------------------------------------------------------------------------------


def routes(app: Synthesized) -> dict[str, dict[str, Any]]:
    return {route["RouteKey"]: route for route in app.properties("AWS::ApiGatewayV2::Route")}


def function_of(app: Synthesized, route: dict[str, Any]) -> str:
    integration = app.resolve(route["Target"]).removeprefix("integrations/")
    uri = app.resources("AWS::ApiGatewayV2::Integration")[integration]["Properties"]["IntegrationUri"]
    handler = app.resources("AWS::Lambda::Function")[app.resolve(uri).removesuffix(".Arn")]
    return str(handler["Properties"]["Handler"]).removesuffix(".handler")


def test_routes_are_those_of_the_library_and_a_default(app: Synthesized) -> None:
    assert {key: function_of(app, route) for key, route in routes(app).items()} == {
        "$default": "read",
        **{f"{route.method} {route.path}": route.function for route in API_ROUTES},
    }


def test_the_api_may_invoke_the_function_of_each_route(app: Synthesized) -> None:
    """`$default` needs `*/*`: its ARN has no path, so that `*/*/*` would not match it."""
    permissions = [
        of
        for of in app.properties("AWS::Lambda::Permission")
        if of["Principal"] != "events.amazonaws.com"  # schedules
    ]
    sources = [
        app.resolve(permission["SourceArn"]).partition("HttpApi4E1D4184")[2] for permission in permissions
    ]
    assert sorted(sources) == sorted(["/*/*", *(f"/*/*{route.path}" for route in API_ROUTES)])
    assert {permission["Principal"] for permission in permissions} == {"apigateway.amazonaws.com"}


def test_every_route_asks_for_iam_by_default(prod: Synthesized) -> None:
    assert {route["AuthorizationType"] for route in routes(prod).values()} == {"AWS_IAM"}


def test_every_route_asks_for_a_token_with_jwt(synthesize: Callable[..., Synthesized]) -> None:
    app = synthesize(auth="jwt", jwtIssuer="https://id.example.com/", jwtAudience="orders,billing")
    authorizers = app.resources("AWS::ApiGatewayV2::Authorizer")
    assert {
        (route["AuthorizationType"], app.resolve(route["AuthorizerId"])) for route in routes(app).values()
    } == {("JWT", name) for name in authorizers}
    assert only([*authorizers.values()])["Properties"]["JwtConfiguration"] == {
        "Audience": ["orders", "billing"],
        "Issuer": "https://id.example.com/",
    }


def scopes(app: Synthesized) -> dict[str, list[str]]:
    return {key: route.get("AuthorizationScopes", []) for key, route in routes(app).items()}


JWT = {"auth": "jwt", "jwtIssuer": "https://id.example.com/", "jwtAudience": "orders"}


def test_tokens_need_no_scope_unless_one_is_named(synthesize: Callable[..., Synthesized]) -> None:
    assert {*map(tuple, scopes(synthesize(**JWT)).values())} == {()}


def test_routes_ask_for_the_scope_of_what_they_do(synthesize: Callable[..., Synthesized]) -> None:
    app = synthesize(
        **JWT, jwtScopesRead="es.read", jwtScopesAppend="es.append,es.all", jwtScopesReplay="es.ops"
    )
    by_function = {"read": ["es.read"], "append": ["es.append", "es.all"], "replays": ["es.ops"]}
    assert scopes(app) == {
        "$default": ["es.read"],  # it goes to the function that reads
        **{f"{route.method} {route.path}": by_function[route.function] for route in API_ROUTES},
    }


def test_a_scope_of_one_kind_of_route_is_asked_for_by_no_other(
    synthesize: Callable[..., Synthesized],
) -> None:
    app = synthesize(**JWT, jwtScopesRead="es.read")
    asking = {key for key, of in scopes(app).items() if of}
    reading = {f"{route.method} {route.path}" for route in API_ROUTES if route.function == "read"}
    assert asking == {"$default", *reading}


def test_pages_of_other_origins_may_not_call_unless_a_setting_names_them(app: Synthesized) -> None:
    assert "CorsConfiguration" not in only(app.properties("AWS::ApiGatewayV2::Api"))
    assert not any(key.startswith("OPTIONS") for key in routes(app))


@pytest.mark.parametrize("auth", [{}, JWT | {"jwtScopesRead": "es.read"}])
def test_cors_lets_a_page_sign_and_a_browser_ask_beforehand(
    auth: dict[str, str], synthesize: Callable[..., Synthesized]
) -> None:
    app = synthesize(environment="prod", corsOrigins="https://app.example.com", **auth)
    cors = only(app.properties("AWS::ApiGatewayV2::Api"))["CorsConfiguration"]
    assert cors["AllowOrigins"] == ["https://app.example.com"]
    assert {"authorization", "content-type", "idempotency-key"} < {*cors["AllowHeaders"]}
    assert {"x-amz-date", "x-amz-security-token", "x-amz-content-sha256"} < {*cors["AllowHeaders"]}
    assert {*cors["AllowMethods"]} == {route.method for route in API_ROUTES}
    assert {"location", "retry-after"} < {*cors["ExposeHeaders"]}
    assert "AllowCredentials" not in cors
    preflight = routes(app)["OPTIONS /{proxy+}"]  # before `$default`, which asks for credentials
    assert (preflight["AuthorizationType"], preflight.get("AuthorizationScopes")) == ("NONE", None)
    guarded = {key for key, route in routes(app).items() if route["AuthorizationType"] != "NONE"}
    assert guarded == {"$default", *(f"{route.method} {route.path}" for route in API_ROUTES)}


def test_only_the_local_api_is_open(apps: Mapping[str, Synthesized]) -> None:
    open_to_all = {
        name
        for name, app in apps.items()
        if any(of["AuthorizationType"] == "NONE" for of in routes(app).values())
    }
    assert open_to_all == {"local"}


def test_the_api_is_throttled_and_writes_an_access_log_in_json(prod: Synthesized) -> None:
    stage = only(prod.properties("AWS::ApiGatewayV2::Stage"))
    assert stage["DefaultRouteSettings"] == {"ThrottlingBurstLimit": 4_000, "ThrottlingRateLimit": 2_000}
    assert prod.resolve(stage["AccessLogSettings"]["DestinationArn"]).removesuffix(".Arn") in prod.resources(
        "AWS::Logs::LogGroup"
    )
    assert json.loads(stage["AccessLogSettings"]["Format"])["requestId"] == "$context.requestId"


@pytest.mark.parametrize(
    ("environment", "auth", "warned"),
    [("prod", "none", True), ("prod", "iam", False), ("local", "none", False)],
)
def test_synth_warns_where_data_is_retained_and_anybody_may_call(
    environment: str, auth: str, warned: bool, synthesize: Callable[..., Synthesized]
) -> None:
    app = synthesize(environment=environment, auth=auth, alarmEmail="ops@example.com")
    assert [OPEN_API in str(warning.data) for warning in app.warnings()] == ([True] if warned else [])


def test_throttled_requests_are_counted_in_the_access_log(app: Synthesized) -> None:
    """API Gateway has no metric for them: each line of an answer 429 counts one, by its own service."""
    service = f"eventstore-{app.stacks[1].stack_name.split('-')[1]}-api"
    access = only(app.properties("AWS::ApiGatewayV2::Stage"))["AccessLogSettings"]
    line = json.loads(access["Format"])
    assert (line["service"], line["status"]) == (service, "$context.status")
    counted = only(app.properties("AWS::Logs::MetricFilter"))
    assert f"{counted['LogGroupName']['Ref']}.Arn" == app.resolve(access["DestinationArn"])
    assert counted["FilterPattern"] == '{ $.status = "429" }'
    assert counted["MetricTransformations"] == [
        {
            "Dimensions": [{"Key": "service", "Value": "$.service"}],
            "MetricName": "ThrottledRequests",
            "MetricNamespace": "EventStore",
            "MetricValue": "1",
        }
    ]
    alarms = [of["Properties"] for of in app.resources("AWS::CloudWatch::Alarm").values()]
    read = [of["Dimensions"] for of in alarms if of.get("MetricName") == "ThrottledRequests"]
    assert read == ([] if service == "eventstore-local-api" else [[{"Name": "service", "Value": service}]])


def test_route_arns_in_the_documents_match_routes() -> None:
    """`.../STAGE/METHOD/PATH`: a pattern that no route matches would allow nothing, or not what it says."""
    text = (ROOT / "docs" / "permissions.md").read_text("utf-8")
    patterns = {*re.findall(r"`((?:GET|POST|HEAD|\*)/[^`\s]*)`", text)}
    patterns |= {*re.findall(r"execute-api:[^\"`]*?/\*/((?:GET|POST|HEAD|\*)/?[^\"`\s]*)", text)}
    assert patterns
    arns = [f"{route.method}{route.path}" for route in API_ROUTES]
    for pattern in patterns:
        assert any(fnmatchcase(arn, pattern) for arn in arns), f"{pattern} is the ARN of no route"


# --- alarms and the dashboard ----------------------------------------------------------------------


def measured(alarm: dict[str, Any]) -> str:
    """What an alarm looks at: the metrics of its expression, or its one metric, and the statistic."""
    of_math = [of["MetricStat"] for of in alarm.get("Metrics", []) if "MetricStat" in of]
    parts = of_math or [{"Metric": alarm, "Stat": alarm["Statistic"]}]
    return " + ".join(
        f"{of['Metric']['Namespace']}/{of['Metric']['MetricName']} {of['Stat']}" for of in parts
    )


def test_every_feature_has_its_alarms(prod: Synthesized) -> None:
    """What rings each of them: test_infra_alarms.py."""
    table = "AWS/DynamoDB/ReadThrottleEvents Sum + AWS/DynamoDB/WriteThrottleEvents Sum"
    indexed = " + ".join(f"AWS/DynamoDB/{of}ThrottleEvents Sum" for of in ("Read", "Read", "Write", "Write"))
    messages = "AWS/SQS/ApproximateNumberOfMessagesVisible Maximum"
    appended = "AWS/DynamoDB/ConsumedWriteCapacityUnits Sum"
    of_functions = (
        "Append",
        "Read",
        "PublicationPublisher",
        "ReplaysStep",
        "ReplaysOperations",
        "LogLogWriter",
        "ParkedEventsCounter",
    )
    alarms = prod.resources("AWS::CloudWatch::Alarm")
    assert {
        name[:-8]: (measured(of["Properties"]), of["Properties"]["Threshold"]) for name, of in alarms.items()
    } == {
        **{f"{of}Throttled": (indexed, 10) for of in ("Events", "Subscriptions")},
        "AppendConflicting": ("EventStore/Conflicts Sum + EventStore/Appended Sum", 20),
        **{f"{of}Errors": ("AWS/Lambda/Errors Sum", 1) for of in of_functions},
        **{f"{of}Throttled": ("AWS/Lambda/Throttles Sum", 1) for of in of_functions},
        "HttpServerErrors": ("AWS/ApiGateway/5xx Sum", 5),
        "HttpThrottled": ("EventStore/ThrottledRequests Sum", 10),
        **{f"{of}Late": ("AWS/Lambda/IteratorAge Maximum", 60_000) for of in ("Publication", "Log")},
        "PublicationSilent": (f"{appended} + EventStore/Published Sum + EventStore/Parked Sum", 1),
        "LogSilent": (f"{appended} + EventStore/Logged Sum + EventStore/PassedOver Sum", 1),
        **{
            f"{of}NotEmpty": (messages, 1)
            for of in ("PublicationFailedEvents", "PublicationDroppedBatches", "LogDroppedBatches")
        },
        **{f"{of}Throttled": (table, 10) for of in ("Log", "Replays", "Journal")},
        "ParkedEventsNotEmpty": ("EventStore/ParkedEvents Maximum", 1),
        "ReplaysFailed": ("AWS/States/ExecutionsFailed Sum", 1),
    }
    assert {of["Properties"]["TreatMissingData"] for of in alarms.values()} == {"notBreaching"}
    assert all(of["Properties"]["AlarmDescription"] for of in alarms.values())


@pytest.mark.parametrize("table", ["Events", "Subscriptions"])
def test_throttles_of_table_and_index_are_both_counted(table: str, prod: Synthesized) -> None:
    alarm = next(
        of
        for name, of in prod.resources("AWS::CloudWatch::Alarm").items()
        if name.startswith(f"{table}Throttled")
    )
    stats = [of["MetricStat"]["Metric"] for of in alarm["Properties"]["Metrics"] if "MetricStat" in of]
    assert [[of["Name"] for of in metric["Dimensions"]] for metric in stats] == [
        ["TableName"],
        ["GlobalSecondaryIndexName", "TableName"],
    ] * 2


def test_the_local_cloud_gets_no_alarm_with_metric_math(apps: Mapping[str, Synthesized]) -> None:
    """Its CloudFormation refuses `Metrics` on an alarm, and the deployment would fail."""
    alarms = apps["local"].properties("AWS::CloudWatch::Alarm")
    assert len(alarms) == 22
    assert not any("Metrics" in alarm for alarm in alarms)


def test_metrics_on_the_dashboard_are_those_that_the_code_emits(prod: Synthesized) -> None:
    body = prod.resolve(only(prod.properties("AWS::CloudWatch::Dashboard"))["DashboardBody"])
    shown = [metric for widget in json.loads(body)["widgets"] for metric in widget["properties"]["metrics"]]
    ours = [metric for metric in shown if metric[0] == "EventStore"]
    (counted,) = only(prod.properties("AWS::Logs::MetricFilter"))["MetricTransformations"]
    assert {metric[1] for metric in ours} == EMF_METRICS | {counted["MetricName"]}
    assert {tuple(metric[2:4]) for metric in ours} == {
        ("service", "eventstore-prod-append"),
        ("service", "eventstore-prod-publish"),
        ("service", "eventstore-prod-log"),
        ("service", "eventstore-prod-replay"),
        ("service", "eventstore-prod-replays"),
        ("service", "eventstore-prod-api"),
        ("service", "eventstore-prod-parked"),
    }
    services = {"eventstore-prod-api"} | {
        of["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"] for of in functions(prod).values()
    }
    assert services > {metric[3] for metric in ours}
    assert {
        of["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] for of in functions(prod).values()
    } == {"EventStore"}


def test_metric_names_stand_in_the_code_that_emits_them() -> None:
    sources = [*(ROOT / "eventstore").rglob("*.py"), *(ROOT / "lambdas").glob("*.py")]
    nodes = (node for source in sources for node in ast.walk(ast.parse(source.read_text("utf-8"))))
    assert {
        node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)
    } >= EMF_METRICS


def test_an_alarm_address_gets_a_topic_that_alarms_may_publish_to(
    synthesize: Callable[..., Synthesized],
) -> None:
    app = synthesize(alarmEmail="ops@example.com")
    subscription = only(app.properties("AWS::SNS::Subscription"))
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("email", "ops@example.com")
    statements = only(app.properties("AWS::SNS::TopicPolicy"))["PolicyDocument"]["Statement"]
    allowed = only([statement for statement in statements if statement["Effect"] == "Allow"])
    assert (allowed["Action"], allowed["Principal"]) == (
        "sns:Publish",
        {"Service": "cloudwatch.amazonaws.com"},
    )
    topic = app.resolve(subscription["TopicArn"])
    assert {app.resolve(only(of["AlarmActions"])) for of in app.properties("AWS::CloudWatch::Alarm")} == {
        topic
    }


def test_alarms_go_to_a_topic_that_exists(synthesize: Callable[..., Synthesized]) -> None:
    arn = "arn:aws:sns:eu-west-1:111111111111:alarms"
    app = synthesize(alarmTopicArn=arn)
    assert not app.resources("AWS::SNS::Topic")
    assert {only(of["AlarmActions"]) for of in app.properties("AWS::CloudWatch::Alarm")} == {arn}


# --- cdk-nag ---------------------------------------------------------------------------------------


def test_cdk_nag_finds_no_fault_and_the_cdk_gives_no_warning(app: Synthesized) -> None:
    """That `app` exists says the first half: synth raises where a rule is broken."""
    assert [warning for warning in app.warnings() if UNHEARD not in str(warning.data)] == []


@pytest.fixture(scope="module")
def with_options(synthesize: Callable[..., Synthesized]) -> Synthesized:
    """The app with all that is optional; synth raises where a rule of cdk-nag is broken."""
    optional = {
        "corsOrigins": "https://app.example.com",
        "alarmEmail": "ops@example.com",
        "compression": "zstd",
    }
    targets = "arn:aws:sqs:eu-central-1:123456789012:q,arn:aws:events:eu-central-1:123456789012:event-bus/b"
    scopes = {"jwtScopesRead": "es.read", "jwtScopesAppend": "es.append", "jwtScopesReplay": "es.ops"}
    return synthesize(environment="prod", **JWT, **scopes, **optional, replayTargets=targets)


def test_cfn_lint_finds_no_fault(
    apps: Mapping[str, Synthesized], with_options: Synthesized, tmp_path: Path
) -> None:
    """Exceptions stand in the templates themselves, and their reasons beside the resources in the code."""
    paths = []
    for environment, app in {**apps, "optional": with_options}.items():
        for name, template in (("data", app.data), ("service", app.service)):
            path = tmp_path / f"{environment}-{name}.template.json"
            path.write_text(json.dumps(template), "utf-8")
            paths.append(str(path))
    # One process for all: half of its time it reads what CloudFormation knows.
    lint = [CFN_LINT, "--format", "parseable", "--", *paths]
    found = subprocess.run(lint, capture_output=True, text=True, check=False)
    assert (found.stdout.strip(), found.stderr.strip(), found.returncode) == ("", "", 0)


def test_cfn_lint_would_find_a_fault(prod: Synthesized, tmp_path: Path) -> None:
    path = tmp_path / "careless.template.json"
    path.write_text(json.dumps(prod.data | {"Metadata": {"share": 0.5}}), "utf-8")
    lint = [CFN_LINT, "--format", "parseable", "--", str(path)]
    assert "E4002" in subprocess.run(lint, capture_output=True, text=True, check=False).stdout


def test_cdk_nag_would_stop_the_synth(tmp_path: Path) -> None:
    app = App(outdir=str(tmp_path))
    sqs.Queue(Stack(app, "Careless"), "Queue")
    Validations.of(app).add_plugins(AwsSolutionsChecks())
    with pytest.raises(RuntimeError, match="AwsSolutions-SQS4"):
        app.synth()


@pytest.mark.parametrize(
    ("environment", "extra"),
    [
        ("dev", set()),
        ("prod", set()),
        ("local", {"APIG4", *(f"IAM5[Resource::{arn}]" for arn in LOCAL_REPLAY_TARGETS)}),
    ],
)
def test_rules_are_acknowledged_only_where_named_here(
    environment: str, extra: set[str], apps: Mapping[str, Synthesized]
) -> None:
    acknowledged = [
        (rule.rpartition("AwsSolutions-")[2], construct.node.path.partition("/")[2])
        for stack in apps[environment].stacks
        for construct in stack.node.find_all()
        for entry in construct.node.metadata
        if entry.type == "aws:cdk:acknowledged-rules"
        for rule in entry.data
    ]
    roles = (
        "Append/Role",
        "Read/Role",
        "Publication/Publisher/Role",
        "Log/LogWriter/Role",
        "Replays/Step/Role",
        "Replays/Operations/Role",
        "ParkedEvents/Counter/Role",
    )
    of_functions = tuple(role.replace("/Role", "/Function") for role in roles)
    queues = ("Publication/FailedEvents", "Publication/DroppedBatches", "Log/DroppedBatches")
    assert {*acknowledged} == {
        *(("IAM5[Resource::*]", role) for role in roles),
        *(("L1", function) for function in of_functions),
        *(("SQS3", queue) for queue in queues),
        *((rule, "Replays/Machine") for rule in ("SF1", "SF2")),
        *((rule, "Http/Api" if rule == "APIG4" else "Replays/Step") for rule in extra),
    }
