"""The journal's table: the one place that owns its names. The CDK app imports them from here.

This module imports nothing, so that `infra/` can use it without boto3.

One item is what one process has published of one batch:

=========  =  =======================================================================================
Consumer   S  partition key; who publishes: `publish` or `index`
WrittenAt  S  sort key; microseconds since 1970 UTC in 16 digits, by the process's clock, and a random part
Published  B  of each stream 9 bytes: 5 of a hash of its id, 4 of its last EventId that is out
ExpiresAt  N  seconds since 1970 UTC, when DynamoDB may delete it
=========  =  =======================================================================================
"""

from typing import Final

CONSUMER: Final = "Consumer"
WRITTEN_AT: Final = "WrittenAt"
PUBLISHED: Final = "Published"
EXPIRES_AT: Final = "ExpiresAt"
