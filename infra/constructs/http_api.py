"""The HTTP API: its routes, who may call, how often, and the access log."""

import json
from collections.abc import Mapping
from typing import Final

import jsii
from aws_cdk import Acknowledgment, Validations
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_apigatewayv2 as apigatewayv2
from aws_cdk import aws_apigatewayv2_authorizers as authorizers
from aws_cdk import aws_apigatewayv2_integrations as integrations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_logs as logs
from constructs import Construct

from eventstore.http.paths import API_ROUTES, DEFAULT_FUNCTION, ApiFunction
from infra.constructs.alarms import PERIOD, Alarms
from infra.constructs.function import Function, make_log_group
from infra.settings import Auth, JwtAuth, Settings

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
            default_integration=to_function[DEFAULT_FUNCTION],
        )
        for route in API_ROUTES:
            api.add_routes(
                path=route.path,
                methods=[apigatewayv2.HttpMethod[route.method]],
                integration=to_function[route.function],
            )
        self._stage = apigatewayv2.HttpStage(
            self,
            "Stage",
            http_api=api,
            auto_deploy=True,
            throttle=apigatewayv2.ThrottleSettings(
                rate_limit=settings.api.requests_per_second, burst_limit=settings.api.burst
            ),
            access_log_settings=_AccessLog(make_log_group(self, settings=settings)),
        )
        self.url = api.api_endpoint
        if settings.api.auth == "none":
            Validations.of(api).acknowledge(
                Acknowledgment(
                    id="AwsSolutions-APIG4",
                    reason='The settings ask for auth "none" in as many words; only `local` does by itself.',
                )
            )
        alarms.add(
            self,
            "ServerErrors",
            metric=self._stage.metric_server_error(period=PERIOD),
            threshold=alarms.settings.server_errors,
            description="The API answers with 5xx: read its access log, then the function's log.",
        )

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            cloudwatch.GraphWidget(
                title="API: requests",
                left=[
                    self._stage.metric_count(period=PERIOD),
                    self._stage.metric_client_error(period=PERIOD),
                    self._stage.metric_server_error(period=PERIOD),
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
    """One JSON object a request."""

    def __init__(self, log_group: logs.ILogGroup) -> None:
        self._log_group = log_group

    @property
    def destination(self) -> apigatewayv2.IAccessLogDestination:
        return apigatewayv2.LogGroupLogDestination(self._log_group)

    @property
    def format(self) -> apigateway.AccessLogFormat:
        return apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG))


def _authorizer(auth: Auth) -> apigatewayv2.IHttpRouteAuthorizer:
    if isinstance(auth, JwtAuth):
        return authorizers.HttpJwtAuthorizer("Jwt", auth.issuer, jwt_audience=[*auth.audiences])
    return authorizers.HttpIamAuthorizer() if auth == "iam" else apigatewayv2.HttpNoneAuthorizer()
