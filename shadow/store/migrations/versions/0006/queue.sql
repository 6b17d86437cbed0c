-- Cut down to nothing when it was empty, the queue was planned for as an empty table until it was looked at again; and to
-- cut a table locks out everybody for a moment.
ALTER TABLE dispatches SET (vacuum_truncate = off);
