"""Columns that the list of clips is filtered and sorted by, names of imported files, and clips queued again by hand."""

from annotations.store.migrations import migration

_NOW = "(SELECT now FROM queue_clock)"
_BIT = "(CASE {row}.purpose WHEN 'research' THEN 1 WHEN 'training' THEN 2 ELSE 4 END)"

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
