-- Lists by age: the column is written once, so no transition touches the index.
CREATE INDEX instance_started ON saga.instance (started_at);
