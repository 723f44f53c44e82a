"""The two functions behind the API: one appends, the other reads."""

from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra import permissions
from infra.constructs.alarms import PERIOD, Alarms
from infra.constructs.events_table import EventsTable
from infra.constructs.function import Function
from infra.constructs.log_table import LogTable
from infra.settings import Settings


class AppendFunction(Function):
    """Appends events; counts what it appended, and how often a writer came too late."""

    def __init__(
        self, scope: Construct, id: str, *, events_table: EventsTable, settings: Settings, alarms: Alarms
    ) -> None:
        super().__init__(
            scope,
            id,
            name="append",
            description="Appends events to streams.",
            memory_mb=1_024,
            timeout_s=29,  # the API waits for 30
            variables={
                "EVENTS_TABLE": events_table.table.table_name,
                **settings.variables("WRITE_SHARDS", "COMPRESSION", "CLOCKS"),
            },
            statements=permissions.append(table_arn=events_table.table.table_arn),
            settings=settings,
            alarms=alarms,
        )
        self._conflict_percent = cloudwatch.MathExpression(
            expression="100 * conflicts / (conflicts + FILL(appended, 0))",
            using_metrics={"conflicts": self.metric("Conflicts"), "appended": self.metric("Appended")},
            label="Conflicts, % of appended events and conflicts",
            period=PERIOD,
        )
        alarms.add(
            self,
            "Conflicting",
            metric=self._conflict_percent,
            threshold=alarms.settings.conflict_percent,
            periods=5,
            description="Writers keep losing: a stream is too hot, or one of them retries without reading.",
        )

    def widgets(self) -> list[cloudwatch.IWidget]:
        return [
            *super().widgets(),
            cloudwatch.GraphWidget(
                title="Appends: events and conflicts",
                left=[self.metric("Appended"), self.metric("Conflicts")],
                right=[self._conflict_percent],
            ),
        ]


class ReadFunction(Function):
    """Reads streams, all streams in time order, and the log; answers what no route matches."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        events_table: EventsTable,
        log_table: LogTable,
        settings: Settings,
        alarms: Alarms,
    ) -> None:
        super().__init__(
            scope,
            id,
            name="read",
            description="Reads streams, all streams in time order, and the log.",
            memory_mb=1_024,
            timeout_s=29,  # the API waits for 30
            variables={
                "EVENTS_TABLE": events_table.table.table_name,
                "LOG_TABLE": log_table.table.table_name,
                **settings.variables("SETTLING_S", "CLOCKS"),
            },
            statements=permissions.read(
                table_arn=events_table.table.table_arn,
                index_arn=events_table.index_arn,
                log_table_arn=log_table.table.table_arn,
            ),
            settings=settings,
            alarms=alarms,
        )
