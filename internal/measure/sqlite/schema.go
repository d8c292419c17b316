package sqlite

// SchemaVersion is that of the views: the names and columns that the guide documents. A column that is added keeps it; one that goes
// or means something else raises it.
const SchemaVersion = 1

// migrations make the file. The tables are ours to change; the views are what people ask.
//
// Times are text as SQLite's date functions write them, in UTC, so that plain comparisons such as minute >= datetime('now', '-12
// hours') work, and by the index. Places are offsets of the log. A slot holds what is remembered of all decisions of 256 ms, in one
// row (see slot.go), as a row each would take three times the room. Outcomes are found by 8 bytes of their id's hash, and of their
// decision's id, as indices of text would take as long to write as all the rest; the text decides.
var migrations = []string{`
	CREATE TABLE progress (
		one        INTEGER PRIMARY KEY CHECK (one = 1),
		generation INTEGER NOT NULL,
		place      INTEGER NOT NULL,
		age        INTEGER NOT NULL,
		last       INTEGER NOT NULL,
		foreign_records INTEGER NOT NULL
	) STRICT;
	INSERT INTO progress VALUES (1, 0, 0, 0, 0, 0);

	CREATE TABLE gaps (
		from_place INTEGER PRIMARY KEY,
		to_place   INTEGER NOT NULL,
		why        TEXT NOT NULL
	) STRICT;

	CREATE TABLE variants (
		id      INTEGER PRIMARY KEY,
		service TEXT NOT NULL,
		epoch   INTEGER NOT NULL,
		variant TEXT NOT NULL,
		version TEXT NOT NULL,
		UNIQUE (service, epoch, variant, version)
	) STRICT;

	CREATE TABLE known (
		id         INTEGER PRIMARY KEY,
		variant_id INTEGER NOT NULL,
		label      TEXT NOT NULL,
		by_hand    INTEGER NOT NULL
	) STRICT;

	CREATE TABLE slots (
		slot INTEGER PRIMARY KEY,
		body BLOB NOT NULL
	) STRICT;

	CREATE TABLE decision_rows (
		id              TEXT PRIMARY KEY,
		at              TEXT NOT NULL,
		kind            TEXT NOT NULL,
		variant_id      INTEGER NOT NULL,
		policy_version  INTEGER NOT NULL,
		unit            TEXT,
		request_id      TEXT,
		answered        TEXT NOT NULL,
		reason          TEXT NOT NULL,
		propensity      REAL,
		status          INTEGER NOT NULL,
		micros          INTEGER NOT NULL,
		upstream_micros INTEGER NOT NULL,
		label           TEXT,
		score           REAL,
		slots           TEXT,
		payload         TEXT
	) STRICT, WITHOUT ROWID;

	CREATE TABLE outcome_rows (
		place          INTEGER PRIMARY KEY,
		id             TEXT NOT NULL,
		decision       TEXT,
		slot           INTEGER NOT NULL,
		kind           TEXT NOT NULL,
		number         REAL,
		label          TEXT,
		at             TEXT,
		received_at    TEXT NOT NULL,
		decided_at     TEXT,
		status         TEXT NOT NULL,
		class          TEXT NOT NULL,
		variant_id     INTEGER,
		policy_version INTEGER NOT NULL,
		propensity     REAL,
		unit           TEXT,
		correct        INTEGER,
		due            INTEGER,
		record         BLOB,
		id_key         INTEGER NOT NULL,
		decision_key   INTEGER
	) STRICT;
	CREATE INDEX outcome_ids ON outcome_rows (id_key);
	CREATE INDEX outcome_decisions ON outcome_rows (decision_key) WHERE decision_key IS NOT NULL;
	CREATE INDEX outcome_waits ON outcome_rows (place) WHERE status = 'waiting';

	CREATE TABLE minutes (
		minute              TEXT NOT NULL,
		variant_id          INTEGER NOT NULL,
		requests            INTEGER NOT NULL,
		client_errors       INTEGER NOT NULL,
		server_errors       INTEGER NOT NULL,
		timeouts            INTEGER NOT NULL,
		hang_ups            INTEGER NOT NULL,
		fallbacks           INTEGER NOT NULL,
		limited             INTEGER NOT NULL,
		shed                INTEGER NOT NULL,
		first_errors        INTEGER NOT NULL,
		ok                  INTEGER NOT NULL,
		ok_micros           INTEGER NOT NULL,
		p50                 REAL,
		p95                 REAL,
		p99                 REAL,
		labelled            INTEGER NOT NULL,
		correct             INTEGER NOT NULL,
		unmatched           INTEGER NOT NULL,
		true_positives      INTEGER NOT NULL,
		false_positives     INTEGER NOT NULL,
		true_negatives      INTEGER NOT NULL,
		false_negatives     INTEGER NOT NULL,
		unverified_labelled INTEGER NOT NULL,
		unverified_correct  INTEGER NOT NULL,
		late                INTEGER NOT NULL,
		PRIMARY KEY (minute, variant_id)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE minute_sketches (
		minute     TEXT NOT NULL,
		variant_id INTEGER NOT NULL,
		body       BLOB NOT NULL,
		PRIMARY KEY (minute, variant_id)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE minute_labels (
		minute     TEXT NOT NULL,
		variant_id INTEGER NOT NULL,
		label      TEXT NOT NULL,
		n          INTEGER NOT NULL,
		PRIMARY KEY (minute, variant_id, label)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE minute_outcomes (
		minute     TEXT NOT NULL,
		variant_id INTEGER NOT NULL,
		class      TEXT NOT NULL,
		late       INTEGER NOT NULL,
		kind       TEXT NOT NULL,
		n          INTEGER NOT NULL,
		sum        REAL NOT NULL,
		squares    REAL NOT NULL,
		labelled   INTEGER NOT NULL,
		correct    INTEGER NOT NULL,
		PRIMARY KEY (minute, variant_id, class, late, kind)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE minute_confusions (
		minute     TEXT NOT NULL,
		variant_id INTEGER NOT NULL,
		class      TEXT NOT NULL,
		truth      TEXT NOT NULL,
		predicted  TEXT NOT NULL,
		n          INTEGER NOT NULL,
		PRIMARY KEY (minute, variant_id, class, truth, predicted)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE outcome_totals (
		service TEXT NOT NULL,
		status  TEXT NOT NULL,
		n       INTEGER NOT NULL,
		PRIMARY KEY (service, status)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE scopes (
		id      INTEGER PRIMARY KEY,
		service TEXT NOT NULL,
		epoch   INTEGER NOT NULL,
		units   INTEGER NOT NULL,
		UNIQUE (service, epoch)
	) STRICT;

	CREATE TABLE shares (
		scope          INTEGER NOT NULL,
		policy_version INTEGER NOT NULL,
		variant        TEXT NOT NULL,
		share          REAL NOT NULL,
		first_at       TEXT NOT NULL,
		units          INTEGER NOT NULL,
		mixed          INTEGER NOT NULL,
		PRIMARY KEY (scope, policy_version, variant)
	) STRICT, WITHOUT ROWID;

	CREATE TABLE units (
		scope INTEGER NOT NULL,
		unit  INTEGER NOT NULL,
		PRIMARY KEY (scope, unit)
	) STRICT, WITHOUT ROWID;
` + views, runningTotals, sampledDetail, shadowTables, segmentTables}

// sampledDetail says of each decision with which probability it was kept. Before, all were.
const sampledDetail = `
	CREATE TABLE detail (
		one  INTEGER PRIMARY KEY CHECK (one = 1),
		debt INTEGER NOT NULL,
		last INTEGER NOT NULL
	) STRICT;
	INSERT INTO detail VALUES (1, 0, 0);

	ALTER TABLE decision_rows ADD COLUMN share REAL NOT NULL DEFAULT 1.0;
	DROP VIEW decisions;
	CREATE VIEW decisions AS
	SELECT d.id, d.at, d.kind, v.service, v.epoch, d.policy_version, d.unit, d.request_id, v.variant AS assigned, d.answered, v.version,
		d.reason, d.propensity, d.status, d.micros, d.upstream_micros, d.label, d.score, d.slots, d.payload, d.share
	FROM decision_rows d JOIN variants v ON v.id = d.variant_id;
`

// runningTotals are what retention does not take from. A file of format 1 gives what its minutes still hold; which classes a service
// had was not asked then, so that the usual names decide.
const runningTotals = `
	CREATE TABLE variant_totals (
		variant_id          INTEGER PRIMARY KEY,
		predictions         INTEGER NOT NULL,
		positives           INTEGER NOT NULL,
		negatives           INTEGER NOT NULL,
		true_positives      INTEGER NOT NULL,
		false_positives     INTEGER NOT NULL,
		true_negatives      INTEGER NOT NULL,
		false_negatives     INTEGER NOT NULL,
		labelled            INTEGER NOT NULL,
		unverified_labelled INTEGER NOT NULL,
		attributed_labelled INTEGER NOT NULL,
		by_hand_labelled    INTEGER NOT NULL,
		correct             INTEGER NOT NULL
	) STRICT;

	INSERT INTO variant_totals
	SELECT m.variant_id, coalesce(l.n, 0), coalesce(l.positives, 0), coalesce(l.negatives, 0), m.tp, m.fp, m.tn, m.fn,
		coalesce(o.verified, 0), coalesce(o.unverified, 0), coalesce(o.attributed, 0), coalesce(o.by_hand, 0), coalesce(o.correct, 0)
	FROM (
		SELECT variant_id, sum(true_positives) AS tp, sum(false_positives) AS fp, sum(true_negatives) AS tn, sum(false_negatives) AS fn
		FROM minutes GROUP BY variant_id
	) m LEFT JOIN (
		SELECT variant_id, sum(n) AS n,
			sum(iif(lower(label) IN ('1', 'true', 'positive', 'pos', 'yes'), n, 0)) AS positives,
			sum(iif(lower(label) IN ('0', 'false', 'negative', 'neg', 'no', '-1'), n, 0)) AS negatives
		FROM minute_labels GROUP BY variant_id
	) l USING (variant_id) LEFT JOIN (
		SELECT variant_id, sum(iif(class = 'verified', labelled, 0)) AS verified, sum(iif(class = 'unverified', labelled, 0)) AS unverified,
			sum(iif(class = 'attributed', labelled, 0)) AS attributed, sum(iif(class = 'byHand', labelled, 0)) AS by_hand,
			sum(iif(class = 'verified', correct, 0)) AS correct
		FROM minute_outcomes WHERE NOT late GROUP BY variant_id
	) o USING (variant_id);
`

// views are one string, so that a later migration can drop them and make them anew.
const views = `
	CREATE VIEW schema_version AS SELECT 1 AS version;

	CREATE VIEW decisions AS
	SELECT d.id, d.at, d.kind, v.service, v.epoch, d.policy_version, d.unit, d.request_id, v.variant AS assigned, d.answered, v.version,
		d.reason, d.propensity, d.status, d.micros, d.upstream_micros, d.label, d.score, d.slots, d.payload
	FROM decision_rows d JOIN variants v ON v.id = d.variant_id;

	CREATE VIEW outcomes AS ` + outcomesView + `;

	CREATE VIEW variant_minutes AS
	SELECT m.minute, v.service, v.epoch, v.variant, v.version, m.requests, m.client_errors, m.server_errors, m.timeouts, m.hang_ups,
		m.fallbacks, m.limited, m.shed, m.first_errors, m.ok, m.ok_micros, CAST(m.ok_micros AS REAL) / nullif(m.ok, 0) AS mean_micros,
		m.p50 AS p50_micros, m.p95 AS p95_micros, m.p99 AS p99_micros, m.labelled, m.correct, m.unmatched, m.true_positives,
		m.false_positives, m.true_negatives, m.false_negatives, m.unverified_labelled, m.unverified_correct, m.late,
		coalesce(r.n, 0) AS rewards, coalesce(r.sum, 0.0) AS reward_sum
	FROM minutes m JOIN variants v ON v.id = m.variant_id
	LEFT JOIN minute_outcomes r ON r.minute = m.minute AND r.variant_id = m.variant_id AND r.class = 'verified' AND r.late = 0
		AND r.kind = 'reward';

	CREATE VIEW variant_labels AS
	SELECT m.minute, v.service, v.epoch, v.variant, v.version, m.label, m.n
	FROM minute_labels m JOIN variants v ON v.id = m.variant_id;

	CREATE VIEW variant_outcomes AS
	SELECT m.minute, v.service, v.epoch, v.variant, v.version, m.class, m.late, m.kind, m.n, m.sum, m.squares, m.labelled, m.correct
	FROM minute_outcomes m JOIN variants v ON v.id = m.variant_id;

	CREATE VIEW variant_confusions AS
	SELECT m.minute, v.service, v.epoch, v.variant, v.version, m.class, m.truth, m.predicted, m.n
	FROM minute_confusions m JOIN variants v ON v.id = m.variant_id;

	CREATE VIEW outcome_counts AS SELECT service, status, n FROM outcome_totals;

	CREATE VIEW traffic_changes AS
	SELECT s.first_at AS at, c.service, c.epoch, s.policy_version, s.variant, s.share, s.units
	FROM shares s JOIN scopes c ON c.id = s.scope;

	CREATE VIEW log_gaps AS SELECT from_place, to_place, why FROM gaps;
`

const outcomesView = `
	SELECT o.id, o.decision, o.slot, o.kind, o.number, o.label, o.at, o.received_at, o.decided_at, o.status, o.class,
		v.service, v.epoch, v.variant, v.version, o.policy_version, o.propensity, o.unit, o.correct
	FROM outcome_rows o LEFT JOIN variants v ON v.id = o.variant_id`
