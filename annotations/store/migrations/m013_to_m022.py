"""Everything from the original labels of clips to the consent for exports of faces, in the order of release."""

from annotations.store.migrations import migration

_NOW = "(SELECT now FROM queue_clock)"
_BIT = "(CASE {row}.purpose WHEN 'research' THEN 1 WHEN 'training' THEN 2 ELSE 4 END)"

# Labels that a clip came with and that give no vote here, in the words of who gave them.
migration(
    "m013_keep_original_labels",
    "ALTER TABLE clips ADD COLUMN original_label TEXT CHECK (length(original_label) > 0)",
)

# Labels of a store's own: every set that held, with its author and time.
migration(
    "m015_create_label_sets",
    """
    CREATE TABLE label_sets (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        labels TEXT NOT NULL CHECK (json_valid(labels)),
        changed_by TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
)

# Columns that the list of clips is filtered and sorted by, names of imported files, and clips queued again by hand.
migration(
    "m016_list_clips",
    "ALTER TABLE clips ADD COLUMN original_name TEXT CHECK (length(original_name) > 0)",
    "ALTER TABLE queue_clips ADD COLUMN speaker TEXT",
    # Seconds since 1970, and the purposes that are consented to: 1 research, 2 training, 4 publication.
    "ALTER TABLE queue_clips ADD COLUMN stored INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE queue_clips ADD COLUMN consent INTEGER NOT NULL DEFAULT 0",
    "UPDATE queue_clock SET now = now + 1",
    f"""
    UPDATE queue_clips SET
        (speaker, stored) = (
            SELECT speaker, coalesce(CAST(strftime('%s', created_at) AS INTEGER), 0) FROM clips WHERE id = clip_id
        ),
        consent = coalesce((
            SELECT sum({_BIT.format(row="given")}) FROM consents_in_force AS given
            WHERE given.clip_id = queue_clips.clip_id
        ), 0),
        changed = {_NOW}
    """,
    "DROP TRIGGER clips_insert_queue",
    f"""
    CREATE TRIGGER clips_insert_queue AFTER INSERT ON clips BEGIN
        UPDATE queue_clock SET now = now + 1;
        INSERT INTO queue_clips (clip_id, source, language, duration, speaker, stored, chance, changed)
        VALUES (
            NEW.id, NEW.source, NEW.language, NEW.duration, NEW.speaker,
            coalesce(CAST(strftime('%s', NEW.created_at) AS INTEGER), 0), random() & 4294967295, {_NOW}
        );
        INSERT INTO clip_texts (clip_id, text, changed)
        SELECT NEW.id, NEW.transcript, {_NOW} WHERE NEW.transcript IS NOT NULL;
    END
    """,
    f"""
    CREATE TRIGGER clips_update_speaker AFTER UPDATE OF speaker ON clips BEGIN
        UPDATE queue_clock SET now = now + 1;
        UPDATE queue_clips SET speaker = NEW.speaker, changed = {_NOW} WHERE clip_id = NEW.id;
    END
    """,
    f"""
    CREATE TRIGGER consents_insert_queue AFTER INSERT ON consents BEGIN
        UPDATE queue_clock SET now = now + 1;
        UPDATE queue_clips SET
            consent = CASE NEW.granted
                WHEN 1 THEN consent | {_BIT.format(row="NEW")} ELSE consent & ~{_BIT.format(row="NEW")}
            END,
            changed = {_NOW}
        WHERE clip_id = NEW.clip_id;
    END
    """,
    # Open as long as no vote came after `last_correction_id`, as in `suspects`.
    """
    CREATE TABLE requeues (
        clip_id INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE,
        last_correction_id INTEGER NOT NULL,
        requested_by TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
)

# Clips that are parts of longer recordings: the recording's hash, and where in it they lie, in seconds.
migration(
    "m018_name_parents_of_clips",
    "ALTER TABLE clips ADD COLUMN parent_sha256 TEXT CHECK (length(parent_sha256) = 64)",
    "ALTER TABLE clips ADD COLUMN parent_start REAL CHECK (parent_start >= 0)",
    "ALTER TABLE clips ADD COLUMN parent_end REAL CHECK (parent_end > parent_start)",
    "CREATE INDEX clips_parent ON clips (parent_sha256) WHERE parent_sha256 IS NOT NULL",
)

# Rated replies: the turns before, what was offered, how a person rated it, and what they would have said instead.
migration(
    "m019_keep_replies",
    """
    CREATE TABLE replies (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        rater TEXT NOT NULL,
        rating TEXT NOT NULL CHECK (rating IN ('helpful', 'off', 'unsafe')),
        transcript TEXT,
        reply TEXT,
        edited TEXT,
        strategy TEXT,
        label TEXT,
        source TEXT NOT NULL,
        language TEXT NOT NULL,
        consent TEXT NOT NULL CHECK (json_valid(consent)),
        created_at TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX replies_rater ON replies (rater)",
)

# Pictures of faces that came with recordings, each kept by a consent of its own.
migration(
    "m020_keep_faces",
    """
    CREATE TABLE faces (
        clip_id INTEGER PRIMARY KEY REFERENCES clips (id) ON DELETE CASCADE,
        jpeg BLOB NOT NULL,
        given_by TEXT,
        wording TEXT NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT
    """,
)

# Neutral voices kept for good: embeddings of a speaker's neutral sentences, with the words that were agreed to.
migration(
    "m021_keep_voices",
    # Half-precision floats, little-endian, a row for each sentence.
    """
    CREATE TABLE voices (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        rater TEXT NOT NULL,
        speaker TEXT NOT NULL,
        encoder TEXT NOT NULL,
        clips INTEGER NOT NULL CHECK (clips > 0),
        vectors BLOB NOT NULL,
        wording TEXT NOT NULL,
        created_at TEXT NOT NULL,
        UNIQUE (rater, speaker)
    ) STRICT
    """,
)

# Pictures of faces leave the store with their recordings only if that was agreed to in addition to keeping them.
migration(
    "m022_export_faces",
    "ALTER TABLE faces ADD COLUMN may_export INTEGER NOT NULL DEFAULT 0 CHECK (may_export IN (0, 1))",
)
