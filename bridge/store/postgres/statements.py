"""The statements, each of them whole: what must hold together is one statement, so that no client's death tears it."""

from __future__ import annotations

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"

MARK = """
SELECT id, epoch, number, position,
    extract(epoch FROM clock_timestamp() - nullif(beat, '-infinity'))::float8 AS age
FROM lighthouse_marks WHERE space = $1
"""

MARKS = "SELECT space, epoch, number, position FROM lighthouse_marks WHERE space = ANY($1::text[])"

GET = "SELECT value FROM lighthouse_rows WHERE space = $1 AND key = $2"

# Plans are made once for a connection, when the table may still be empty. A list of keys would then be looked for by
# reading all rows of the space; a subquery a key leaves the planner nothing but the index, however small the table is.
GET_MANY = """
SELECT wanted.key, found.value FROM unnest($2::bytea[]) AS wanted(key)
CROSS JOIN LATERAL (SELECT value FROM lighthouse_rows WHERE space = $1 AND key = wanted.key LIMIT 1) AS found
"""

MARK_AND_ROWS = """
SELECT epoch, number, position, wanted.key, found.value FROM lighthouse_marks AS known
LEFT JOIN unnest($2::bytea[]) AS wanted(key) ON true
LEFT JOIN LATERAL (SELECT value FROM lighthouse_rows WHERE space = known.id AND key = wanted.key LIMIT 1) AS found
ON true WHERE known.space = $1
"""

# An owner is told apart from every other by its name too: a fail-over to a replica that had not seen an epoch being
# taken would give it out twice. Taking one waits for the disk, so that a crash of the server does not.
OWN = """
WITH durable AS (SELECT set_config('synchronous_commit', 'on', true) AS said)
INSERT INTO lighthouse_marks AS known (space, epoch, number, position, owner, beat)
SELECT $1, 1, 0, -1, $2::uuid, '-infinity' FROM durable
ON CONFLICT (space) DO UPDATE SET epoch = known.epoch + 1, owner = excluded.owner
RETURNING id, epoch, number, position
"""

# The mark's row is locked and compared first; the rows are written only where it was the one expected. Keys must be
# unique within the statement, and in order: then two pages are seldom touched twice.
COMMIT = """
WITH held AS (
    UPDATE lighthouse_marks SET number = number + 1, position = $6, beat = clock_timestamp()
    WHERE id = $1 AND owner = $2::uuid AND epoch = $3 AND number = $4 AND position = $5 RETURNING id
), put AS (
    INSERT INTO lighthouse_rows (space, key, value)
    SELECT held.id, new.key, new.value FROM held, unnest($7::bytea[], $8::bytea[]) AS new(key, value)
    ON CONFLICT (space, key) DO UPDATE SET value = excluded.value
), gone AS (
    DELETE FROM lighthouse_rows AS old USING held, unnest($9::bytea[]) AS gone(key)
    WHERE old.space = held.id AND old.key = gone.key
)
SELECT count(*) FROM held
"""

# The space gets another id, under which there are no rows: that takes no time, however many there were.
WIPE = """
UPDATE lighthouse_marks SET id = DEFAULT, number = number + 1, position = -1, beat = clock_timestamp()
WHERE id = $1 AND owner = $2::uuid AND epoch = $3 AND number = $4 AND position = $5 RETURNING id
"""

# Removes up to $1 rows of an id that no space has any more, and answers how many. Ids are found from one to the next
# over the index. No id comes back, so that two who do this at once are in each other's way at most.
SWEEP = """
WITH RECURSIVE ids(id) AS (
    (SELECT space FROM lighthouse_rows ORDER BY space LIMIT 1)
    UNION ALL
    SELECT (SELECT space FROM lighthouse_rows WHERE space > ids.id ORDER BY space LIMIT 1) FROM ids WHERE id IS NOT NULL
), orphan AS (
    SELECT id FROM ids WHERE id IS NOT NULL
    AND NOT EXISTS (SELECT FROM lighthouse_marks AS known WHERE known.id = ids.id) LIMIT 1
), few AS (
    SELECT space, key FROM lighthouse_rows WHERE space = (SELECT id FROM orphan) ORDER BY key LIMIT $1
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM lighthouse_rows AS old USING few WHERE old.space = few.space AND old.key = few.key RETURNING 1
)
SELECT count(*) FROM gone
"""

BEAT = """
UPDATE lighthouse_marks SET beat = clock_timestamp() WHERE id = $1 AND owner = $2::uuid AND epoch = $3 RETURNING id
"""


def scan(bounded: bool, reverse: bool) -> str:
    """The rows of $1 from $2 on, below $3 if it is bounded; $4 rows at most, and values of $5 bytes if not null.

    The first row is answered whatever its size.
    """
    order = "DESC" if reverse else "ASC"
    return f"""
SELECT key, value FROM (
    SELECT key, value, sum(octet_length(value)) OVER walk AS size, row_number() OVER walk AS place FROM (
        SELECT key, value FROM lighthouse_rows
        WHERE space = $1 AND key >= $2 AND {"key < $3" if bounded else "$3::bytea IS NULL"}
        ORDER BY key {order} LIMIT $4
    ) AS near WINDOW walk AS (ORDER BY key {order} ROWS UNBOUNDED PRECEDING)
) AS sized WHERE $5::bigint IS NULL OR place = 1 OR size <= $5 ORDER BY place
"""


SCANS = {(bounded, reverse): scan(bounded, reverse) for bounded in (False, True) for reverse in (False, True)}
