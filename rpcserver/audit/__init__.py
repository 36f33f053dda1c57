"""The audit log: a line of JSON for each call, refusal, page and connection, each chained to the line before it."""
