"""The README's rule on the bus, as it's printed, in a stack."""

from __future__ import annotations

import re
from pathlib import Path

from aws_cdk import App, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Match, Template

README = Path(__file__).parents[2] / "README.md"


def test_the_readmes_rule_sends_what_was_paid_to_the_queue() -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (code,) = (block for block in blocks if "events.Rule" in block)
    stack = Stack(App(), "Consumer")
    bus, queue = events.EventBus(stack, "Bus"), sqs.Queue(stack, "Queue")
    exec(code, {"self": stack, "bus": bus, "queue": queue, "events": events, "targets": targets})

    Template.from_stack(stack).has_resource_properties(
        "AWS::Events::Rule",
        {
            "EventPattern": {"detail-type": ["OrderPaid"]},
            "Targets": [{"Arn": Match.any_value()} | {"Id": Match.any_value()}],
        },
    )
