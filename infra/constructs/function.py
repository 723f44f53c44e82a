"""One Lambda function with all that is its own: package, role, log, traces, alarms."""

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Acknowledgment, Duration, RemovalPolicy, Validations
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra import bundling, permissions
from infra.constructs.alarms import PERIOD, Alarms
from infra.settings import Settings
from infra.synth_rules import LOG_RETENTION

METRICS_NAMESPACE: Final = "EventStore"


class Function(Construct):
    """The function in `lambdas/<name>.py`; it may do what `statements` allow, log and trace, no more."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        name: str,
        description: str,
        memory_mb: int,
        timeout_s: int,
        variables: Mapping[str, str],
        statements: Sequence[iam.PolicyStatement],
        settings: Settings,
        alarms: Alarms,
        reserved_concurrency: int | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._name = name
        # Names the environment too: its metrics must not mix with another's in the same account.
        self._service = f"eventstore-{settings.environment}-{name}"
        target = bundling.AWS if settings.packages_for == "aws" else bundling.MACHINE
        log_group = make_log_group(self, settings=settings)
        self.role = self._make_role(statements, log_group=log_group)
        self.function = lambda_.Function(
            self,
            "Function",
            description=description,
            code=bundling.Package(name=name, target=target).code(),
            handler=f"{name}.handler",
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.custom(target.architecture),
            memory_size=memory_mb,
            timeout=Duration.seconds(timeout_s),
            reserved_concurrent_executions=reserved_concurrency,
            tracing=lambda_.Tracing.ACTIVE,
            log_group=log_group,
            role=self.role,
            environment={
                **variables,
                "POWERTOOLS_SERVICE_NAME": self._service,
                "POWERTOOLS_METRICS_NAMESPACE": METRICS_NAMESPACE,
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
        )
        # The CDK makes a function wait for its role, which the reference to the role does as well.
        self.function.node.default_child.add_metadata(  # type: ignore[union-attr]
            "cfn-lint", {"config": {"ignore_checks": ["W3005"]}}
        )
        Validations.of(self.function).acknowledge(
            Acknowledgment(
                id="AwsSolutions-L1",
                reason="Packages hold wheels for Python 3.13; a newer runtime comes with newer wheels.",
            )
        )
        alarms.add(
            self,
            "Errors",
            metric=self.function.metric_errors(period=PERIOD),
            threshold=alarms.settings.function_errors,
            description=f"The function {name} fails, times out or can't start: read its log.",
        )
        alarms.add(
            self,
            "Throttled",
            metric=self.function.metric_throttles(period=PERIOD),
            threshold=alarms.settings.function_throttles,
            description=(
                f"Lambda throttles the function {name}: the account's concurrency is used up, or the "
                "function's own is limited."
            ),
        )

    def metric(self, name: str, *, statistic: str = "Sum", period: Duration = PERIOD) -> cloudwatch.Metric:
        """A metric that the function itself emits (EMF, dimension `service`)."""
        return cloudwatch.Metric(
            namespace=METRICS_NAMESPACE,
            metric_name=name,
            dimensions_map={"service": self._service},
            statistic=statistic,
            period=period,
        )

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            cloudwatch.GraphWidget(
                title=f"Function {self._name}: duration, invocations, errors",
                left=[
                    self.function.metric_duration(statistic=statistic, period=PERIOD, label=statistic)
                    for statistic in ("p50", "p99", "Maximum")
                ],
                right=[
                    self.function.metric_invocations(period=PERIOD),
                    self.function.metric_errors(period=PERIOD),
                    self.function.metric_throttles(period=PERIOD),
                ],
            )
        ]

    def _make_role(self, statements: Sequence[iam.PolicyStatement], *, log_group: logs.LogGroup) -> iam.IRole:
        running = permissions.run(log_group_arn=log_group.log_group_arn)
        role = iam.Role(
            self,
            "Role",
            assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
            description=f"The event store's function {self._name}.",
            inline_policies={self._name: iam.PolicyDocument(statements=[*statements, *running])},
        )
        Validations.of(role).acknowledge(
            Acknowledgment(
                id="AwsSolutions-IAM5[Resource::*]",
                reason="X-Ray's two write actions take no resource. Every other statement names its own.",
            )
        )
        return role.without_policy_updates()  # by which the CDK would grant more of its own accord


def make_log_group(scope: Construct, *, settings: Settings) -> logs.LogGroup:
    """The scope's own log group, kept for as long as the settings say."""
    return logs.LogGroup(
        scope,
        "Log",
        retention=logs.RetentionDays[LOG_RETENTION[settings.function_log_retention_days]],
        removal_policy=RemovalPolicy.DESTROY,
    )
