"""The HTTP API: its routes, who may call, how often, and the access log."""

import json
from collections.abc import Mapping
from typing import Final

import jsii
from aws_cdk import Acknowledgment, Annotations, Duration, Validations
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from eventstore.http.paths import API_ROUTES, DEFAULT_FUNCTION, ApiFunction
from infra.constructs.alarms import PERIOD, Alarms
from infra.constructs.function import METRICS_NAMESPACE, Function, make_log_group
from infra.settings import Auth, CorsSettings, JwtAuth, Settings

OPEN_API: Final = "eventstore:openApi"

_ACCESS_LOG: Final = {
    "requestId": "$context.requestId",
    "time": "$context.requestTime",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "route": "$context.routeKey",
    "status": "$context.status",
    "responseBytes": "$context.responseLength",
    "latencyMs": "$context.responseLatency",
    "error": "$context.error.message",
    "integrationError": "$context.integrationErrorMessage",
    "sourceIp": "$context.identity.sourceIp",
    "userAgent": "$context.identity.userAgent",
}


_CORS_EXPOSED: Final = ("allow", "etag", "idempotent-replay", "location", "retry-after", "x-correlation-id")
"""Headers of answers that a page of another origin may read, beyond those that every page may."""

_CORS_MAX_AGE: Final = Duration.hours(1)


class HttpApi(Construct):
    """The routes of `eventstore.http.paths` and `$default`, all of them behind the same authorizer."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        functions: Mapping[ApiFunction, Function],
        settings: Settings,
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, id)
        # The permission to invoke is one a route: a wider one (`/*/*/*`) doesn't cover `$default`.
        to_function = {
            name: integrations.HttpLambdaIntegration(name.capitalize(), function.function)
            for name, function in functions.items()
        }
        api = apigatewayv2.HttpApi(
            self,
            "Api",
            description="Event store: append to streams, read streams, read all streams in time order.",
            create_default_stage=False,
            default_authorizer=_authorizer(settings.api.auth),
            default_authorization_scopes=_scopes(settings.api.auth, DEFAULT_FUNCTION),
            default_integration=to_function[DEFAULT_FUNCTION],
            cors_preflight=_cors(settings.api.cors),
        )
        for route in API_ROUTES:
            api.add_routes(
                path=route.path,
                methods=[apigatewayv2.HttpMethod[route.method]],
                integration=to_function[route.function],
                authorization_scopes=_scopes(settings.api.auth, route.function),
            )
        if settings.api.cors is not None and settings.api.auth != "none":
            # A browser's preflight carries no credentials, and `$default` would ask for them.
            preflight = api.add_routes(
                path="/{proxy+}",
                methods=[apigatewayv2.HttpMethod.OPTIONS],
                integration=to_function[DEFAULT_FUNCTION],
                authorizer=apigatewayv2.HttpNoneAuthorizer(),
                authorization_scopes=[],
            )
            reason = "API Gateway answers preflights itself, by the settings cors..., and with no data."
            for one in preflight:
                Validations.of(one).acknowledge(Acknowledgment(id="AwsSolutions-APIG4", reason=reason))
        log_group = make_log_group(self, settings=settings)
        service = f"eventstore-{settings.environment}-api"
        self._stage = apigatewayv2.HttpStage(
            self,
            "Stage",
            http_api=api,
            auto_deploy=True,
            throttle=apigatewayv2.ThrottleSettings(
                rate_limit=settings.api.requests_per_second, burst_limit=settings.api.burst
            ),
            access_log_settings=_AccessLog(log_group, service=service),
        )
        self.url = api.api_endpoint
        if settings.api.auth == "none":
            Validations.of(api).acknowledge(
                Acknowledgment(
                    id="AwsSolutions-APIG4",
                    reason='The settings ask for auth "none" in as many words; only `local` does by itself.',
                )
            )
            if settings.retain_data:
                Annotations.of(api).add_warning_v2(
                    OPEN_API,
                    "auth is 'none', and data is retained: whoever knows the API's URL may read all events, "
                    "append and start replays. Set auth to iam or jwt, in cdk.json or with -c auth=...",
                )
        alarms.add(
            self,
            "ServerErrors",
            metric=self._stage.metric_server_error(period=PERIOD),
            threshold=alarms.settings.server_errors,
            description="The API answers with 5xx: read its access log, then the function's log.",
        )
        self._throttles = _count_throttled(self, log_group, service=service)
        alarms.add(
            self,
            "Throttled",
            metric=self._throttles,
            threshold=alarms.settings.api_throttles,
            description=(
                "API Gateway refuses requests (429) that are above apiRequestsPerSecond, apiBurst or the "
                "account's quota: raise what is too low, or find in the access log who sends that much."
            ),
        )

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            cloudwatch.GraphWidget(
                title="API: requests",
                left=[
                    self._stage.metric_count(period=PERIOD),
                    self._stage.metric_client_error(period=PERIOD),
                    self._stage.metric_server_error(period=PERIOD),
                    self._throttles,
                ],
            ),
            cloudwatch.GraphWidget(
                title="API: latency",
                left=[
                    self._stage.metric_latency(statistic=statistic, period=PERIOD, label=statistic)
                    for statistic in ("p50", "p99")
                ],
            ),
        ]


@jsii.implements(apigatewayv2.IAccessLogSettings)
class _AccessLog:
    """One JSON object a request, with the service that its metric is counted by."""

    def __init__(self, log_group: logs.ILogGroup, *, service: str) -> None:
        self._log_group = log_group
        self._format = json.dumps({"service": service, **_ACCESS_LOG})

    @property
    def destination(self) -> apigatewayv2.IAccessLogDestination:
        return apigatewayv2.LogGroupLogDestination(self._log_group)

    @property
    def format(self) -> apigateway.AccessLogFormat:
        return apigateway.AccessLogFormat.custom(self._format)


def _count_throttled(scope: Construct, log_group: logs.ILogGroup, *, service: str) -> cloudwatch.Metric:
    """Requests that API Gateway throttled: it has no metric of its own for them, and no function answers 429.

    They are counted in the access log. Of very many at once API Gateway logs some alone.
    """
    logs.MetricFilter(
        scope,
        "ThrottledRequests",
        log_group=log_group,
        filter_pattern=logs.FilterPattern.string_value("$.status", "=", "429"),
        metric_namespace=METRICS_NAMESPACE,
        metric_name="ThrottledRequests",
        dimensions={"service": "$.service"},
    )
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name="ThrottledRequests",
        dimensions_map={"service": service},
        statistic="Sum",
        period=PERIOD,
    )


def _authorizer(auth: Auth) -> apigatewayv2.IHttpRouteAuthorizer:
    if isinstance(auth, JwtAuth):
        return authorizers.HttpJwtAuthorizer("Jwt", auth.issuer, jwt_audience=[*auth.audiences])
    return authorizers.HttpIamAuthorizer() if auth == "iam" else apigatewayv2.HttpNoneAuthorizer()


def _scopes(auth: Auth, function: ApiFunction) -> list[str]:
    """Of which a token needs one; API Gateway lets any token pass where there is none."""
    return [*auth.scopes[function]] if isinstance(auth, JwtAuth) else []


def _cors(cors: CorsSettings | None) -> apigatewayv2.CorsPreflightOptions | None:
    if cors is None:
        return None
    return apigatewayv2.CorsPreflightOptions(
        allow_origins=[*cors.origins],
        allow_headers=[*cors.headers],
        allow_methods=[apigatewayv2.CorsHttpMethod[method] for method in cors.methods],
        expose_headers=[*_CORS_EXPOSED],
        max_age=_CORS_MAX_AGE,
    )
