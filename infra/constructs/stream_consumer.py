"""What consumes the table's stream: a function, its event source mapping, the queue of what that dropped."""

from collections.abc import Callable, Mapping, Sequence
from math import ceil

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as event_sources
from constructs import Construct

from infra.constructs.alarms import PERIOD, Alarms
from infra.constructs.events_table import EventsTable
from infra.constructs.function import Function
from infra.constructs.queues import depth, make_queue
from infra.settings import Settings
from infra.synth_rules import CONSUMER_TIMEOUT_S, OLD_PERIODS


class StreamConsumer(Construct):
    """Takes every record of an appended event at least once, the oldest first, until it's too old.

    Each consumer has a mapping of its own, so that none holds up another. Two functions are what a table's
    stream takes; more readers belong behind the log or the bus. Records that failed until they were too old
    are given up by the mapping, which names them in `dropped_batches`; an alarm rings.
    """

    def __init__(
        self, scope: Construct, id: str, *, events_table: EventsTable, settings: Settings, alarms: Alarms
    ) -> None:
        super().__init__(scope, id)
        self.dropped_batches = make_queue(self, "DroppedBatches", retain=settings.retain_data)
        self._events_table = events_table
        self._settings = settings
        self._alarms = alarms

    def consume(
        self,
        function_id: str,
        *,
        name: str,
        description: str,
        variables: Mapping[str, str],
        statements: Callable[..., Sequence[iam.PolicyStatement]],
        batch_size: int,
        window_s: int,
        max_record_age_s: int,
        reserved_concurrency: int | None,
        handled: Sequence[str],
        late: str,
        dropped: str,
    ) -> Function:
        """Makes the function, its mapping and its alarms.

        `statements` tells what the function may do; it's given the ARNs of the table, of its stream and of
        the queue. `handled` are its own metrics that count the events it's done with. `late` and `dropped`
        say what it means that records are old, or were given up.
        """
        table, stream_arn = self._events_table.table, self._events_table.stream_arn
        consumer = Function(
            self,
            function_id,
            name=name,
            description=description,
            memory_mb=512,
            timeout_s=CONSUMER_TIMEOUT_S,
            variables={
                "EVENTS_TABLE": table.table_name,
                **self._settings.variables("PARTIAL_BATCH"),
                **variables,
            },
            statements=statements(
                table_arn=table.table_arn,
                stream_arn=stream_arn,
                dropped_batches_queue_arn=self.dropped_batches.queue_arn,
            ),
            settings=self._settings,
            alarms=self._alarms,
            reserved_concurrency=reserved_concurrency,
        )
        lambda_.EventSourceMapping(
            self,
            "Mapping",
            target=consumer.function,
            event_source_arn=stream_arn,
            # The oldest record first: what was appended before the mapping existed is consumed too.
            starting_position=lambda_.StartingPosition.TRIM_HORIZON,
            filters=[lambda_.FilterCriteria.filter({"eventName": lambda_.FilterRule.is_equal("INSERT")})],
            batch_size=batch_size,
            max_batching_window=Duration.seconds(window_s),
            parallelization_factor=1,
            # Retries have no number: they end with success, or when the record is too old.
            report_batch_item_failures=True,
            bisect_batch_on_error=True,
            max_record_age=Duration.seconds(max_record_age_s),
            on_failure=event_sources.SqsDlq(self.dropped_batches),
        )
        age_s = self._alarms.settings.iterator_age_s
        self._alarms.add(
            self,
            "Late",
            metric=_record_age(consumer),
            threshold=None if age_s is None else age_s * 1_000,
            periods=OLD_PERIODS,
            description=late,
        )
        self._add_silent_alarm(consumer, name=name, window_s=window_s, handled=handled)
        self._alarms.add(
            self.dropped_batches,
            "NotEmpty",
            metric=depth(self.dropped_batches),
            threshold=1,
            description=dropped,
        )
        return consumer

    def _add_silent_alarm(
        self, consumer: Function, *, name: str, window_s: int, handled: Sequence[str]
    ) -> None:
        """A dead man's switch: events are appended, and the consumer is done with none for some minutes.

        What the index by time took is what was appended, by whomever: neither an append that is refused nor
        an item of the store's own gets there. A period's appends are held against what the consumer counts
        itself in that period and in the next, for which a batch may be gathered and a metric be late. What
        it doesn't count is 0, whether it does nothing or isn't called at all.
        """
        minutes = self._alarms.settings.silent_minutes
        if minutes is None:
            return
        period = Duration.minutes(minutes + ceil(window_s / 60))
        counts = {f"{of[0].lower()}{of[1:]}": consumer.metric(of, period=period) for of in handled}
        written = "FILL(written, 0)"
        # A metric that was never emitted may be no series that FILL could fill; times 0, `written` is one.
        done = " + ".join([f"0 * {written}", *(f"FILL({count}, 0)" for count in counts)])
        self._alarms.add(
            self,
            "Silent",
            metric=cloudwatch.MathExpression(
                # `x - DIFF(x)` is the value of the period before.
                expression=f"IF({written} - DIFF({written}) > 0 AND 2 * ({done}) - DIFF({done}) == 0, 1, 0)",
                using_metrics={"written": self._events_table.metric_appended(period=period), **counts},
                label="Appended, and not handled",
                period=period,
            ),
            threshold=1,
            late_periods=2,
            description=(
                f"Events are appended, but the function {name} is done with none of them: its mapping is "
                "disabled, deleted or not permitted to read the stream; or Lambda throttles it; or it stops "
                "at each batch. (`verify --repair` writes what it isn't called for, too.)"
            ),
        )


def lag_widget(consumer: Function, *, title: str, lag: str) -> cloudwatch.GraphWidget:
    """How late a consumer is: by a metric of its own, in milliseconds, and by the age of records."""
    lags = [consumer.metric(lag, statistic=statistic) for statistic in ("p50", "p99")]
    return cloudwatch.GraphWidget(
        title=f"{title}, and age of records, ms", left=[*lags, _record_age(consumer)]
    )


def _record_age(consumer: Function) -> cloudwatch.Metric:
    return consumer.function.metric("IteratorAge", statistic="Maximum", period=PERIOD)
