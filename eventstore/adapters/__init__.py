"""Adapters of the store's ports: memory, DynamoDB, EventBridge."""
