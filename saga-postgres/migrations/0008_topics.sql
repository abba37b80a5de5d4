-- Topics beside queues.

-- A row for a topic has `topic:` before the name.
ALTER TABLE saga.outbox DROP CONSTRAINT outbox_destination_length;
ALTER TABLE saga.outbox ADD CONSTRAINT outbox_destination_length CHECK (octet_length(destination) BETWEEN 1 AND 126);
