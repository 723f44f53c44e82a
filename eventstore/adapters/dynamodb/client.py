"""How the DynamoDB client of a store is set up."""

from typing import Final

from botocore.config import Config

CLIENT_CONFIG: Final = Config(
    # A write is stamped before it's sent, so all of its tries have to end within the settling time
    # (10 s): 3 x (0.5 + 1.75) s, and two pauses of at most 1 and 2 s, are 9.75 s.
    connect_timeout=0.5,
    read_timeout=1.75,
    retries={"mode": "standard", "total_max_attempts": 3},
    # One connection for each shard that is read side by side, and some for appends meanwhile.
    max_pool_connections=50,
    tcp_keepalive=True,
)
"""Give it to boto3: ``boto3.client("dynamodb", config=CLIENT_CONFIG)``."""
