"""What engines over a server share: batches, retries, payloads, filter keys and words."""
