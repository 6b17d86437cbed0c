-- The few whose payload is to be fetched are looked for at every notice, among all that are due.
CREATE INDEX dispatches_mapped ON dispatches (due_at) WHERE state = 'due' AND stage = 'map';
