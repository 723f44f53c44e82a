"""AWS but its tables: sessions and their answers, EventBridge, SQS, Step Functions, targets of replays."""
