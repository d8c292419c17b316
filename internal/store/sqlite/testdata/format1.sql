-- serin.db of format 1, as SQL: what later versions must go on reading.
CREATE TABLE documents (
	key      TEXT PRIMARY KEY,
	revision INTEGER NOT NULL,
	value    BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE revision (last INTEGER NOT NULL) STRICT;
INSERT INTO revision VALUES (41);
INSERT INTO documents VALUES ('model/a', 41, CAST('{"format":1}' AS BLOB));
PRAGMA user_version = 1;
