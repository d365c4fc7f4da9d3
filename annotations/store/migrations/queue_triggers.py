"""The triggers of migration 2, which keep what the review queue reads; part of that migration, never edited."""

_TICK = "UPDATE queue_clock SET now = now + 1;"
_NOW = "(SELECT now FROM queue_clock)"
_STANDS = "NOT EXISTS (SELECT 1 FROM correction_retractions WHERE correction_id = corrections.id)"


def _set_vote(rater: str, clip: str) -> str:
    """Statements that update a rater's standing vote on a clip."""
    return f"""
        INSERT INTO judgements (rater, clip_id, correction_id, verdict, label, changed)
        SELECT {rater}, {clip}, newest.id, newest.verdict, newest.label, {_NOW}
        FROM (SELECT 1) LEFT JOIN (
            SELECT id, verdict, label FROM corrections WHERE clip_id = {clip} AND rater = {rater} AND {_STANDS}
            ORDER BY created_at DESC, id DESC LIMIT 1
        ) AS newest ON TRUE
        WHERE TRUE
        ON CONFLICT (rater, clip_id) DO UPDATE SET
            correction_id = excluded.correction_id, verdict = excluded.verdict, label = excluded.label,
            changed = excluded.changed;
    """


def _drop(rater: str, clip: str) -> str:
    """Statement that drops the row of a rater who has no vote left on a clip, not even one taken back."""
    return f"""
        DELETE FROM judgements WHERE rater = {rater} AND clip_id = {clip}
            AND NOT EXISTS (SELECT 1 FROM corrections WHERE clip_id = {clip} AND rater = {rater});
    """


def _count(clip: str) -> str:
    """Statement that counts the standing votes on a clip anew."""
    return f"""
        UPDATE queue_clips SET
            votes = (SELECT count(label) FROM judgements WHERE clip_id = {clip}),
            judged = (
                SELECT count(*) FROM judgements
                WHERE clip_id = {clip} AND verdict IN ('accept', 'correct', 'unsure') AND rater NOT GLOB 'import:*'
            ),
            dispute = coalesce((
                SELECT (sum(n) * sum(n) - sum(n * n)) / (sum(n) * (sum(n) - 1.0) + 2.0) FROM (
                    SELECT count(*) AS n FROM judgements WHERE clip_id = {clip} AND label IS NOT NULL GROUP BY label
                )
            ), 0.0),
            changed = {_NOW}
        WHERE clip_id = {clip};
    """


def _set_words(clip: str) -> str:
    """Statement that updates the words of a clip."""
    return f"""
        INSERT INTO clip_texts (clip_id, text, changed)
        SELECT clips.id, coalesce(
            (
                SELECT transcript FROM corrections
                WHERE clip_id = clips.id AND transcript IS NOT NULL AND {_STANDS}
                ORDER BY created_at DESC, id DESC LIMIT 1
            ),
            clips.transcript,
            (SELECT transcript FROM predictions WHERE clip_id = clips.id ORDER BY id DESC LIMIT 1),
            ''
        ), {_NOW} FROM clips WHERE clips.id = {clip}
        ON CONFLICT (clip_id) DO UPDATE SET text = excluded.text, changed = excluded.changed
        WHERE text IS NOT excluded.text;
    """


def _set_answer(clip: str) -> str:
    """Statement that updates the newest answer for a clip."""
    return f"""
        UPDATE queue_clips SET
            (prediction_id, version_id, label, entropy, margin, disagreement) = (
                SELECT id, model_version_id, label, entropy, margin, disagreement
                FROM predictions WHERE clip_id = {clip} ORDER BY id DESC LIMIT 1
            ),
            language = coalesce(
                (SELECT language FROM clips WHERE id = {clip}),
                (
                    SELECT json_extract(details, '$.transcript.language')
                    FROM predictions WHERE clip_id = {clip} ORDER BY id DESC LIMIT 1
                )
            ),
            changed = {_NOW}
        WHERE clip_id = {clip};
    """


_SAID = "FROM corrections WHERE id = {row}.correction_id"


def _retraction(event: str, row: str) -> str:
    rater, clip = (f"(SELECT {column} {_SAID.format(row=row)})" for column in ("rater", "clip_id"))
    return f"""
    CREATE TRIGGER retractions_{event.lower()}_judge AFTER {event} ON correction_retractions
    WHEN EXISTS (SELECT 1 {_SAID.format(row=row)}) BEGIN
        {_TICK} {_set_vote(rater, clip)} {_set_words(clip)}
    END
    """


TRIGGERS = (
    f"""
    CREATE TRIGGER clips_insert_queue AFTER INSERT ON clips BEGIN
        {_TICK}
        INSERT INTO queue_clips (clip_id, source, language, duration, chance, changed)
        VALUES (NEW.id, NEW.source, NEW.language, NEW.duration, random() & 4294967295, {_NOW});
        INSERT INTO clip_texts (clip_id, text, changed)
        SELECT NEW.id, NEW.transcript, {_NOW} WHERE NEW.transcript IS NOT NULL;
    END
    """,
    f"""
    CREATE TRIGGER clips_update_queue AFTER UPDATE OF source, language, duration, transcript ON clips BEGIN
        {_TICK}
        UPDATE queue_clips SET source = NEW.source, duration = NEW.duration WHERE clip_id = NEW.id;
        {_set_answer("NEW.id")} {_set_words("NEW.id")}
    END
    """,
    f"""
    CREATE TRIGGER clips_delete_queue AFTER DELETE ON clips BEGIN
        {_TICK}
        DELETE FROM clip_texts WHERE clip_id = OLD.id;
        DELETE FROM queue_clips WHERE clip_id = OLD.id;
        INSERT OR REPLACE INTO queue_erased (clip_id, changed) VALUES (OLD.id, {_NOW});
    END
    """,
    f"""
    CREATE TRIGGER predictions_insert_queue AFTER INSERT ON predictions BEGIN
        {_TICK}
        UPDATE queue_clips SET
            prediction_id = NEW.id, version_id = NEW.model_version_id, label = NEW.label, entropy = NEW.entropy,
            margin = NEW.margin, disagreement = NEW.disagreement, changed = {_NOW},
            language = coalesce(
                (SELECT language FROM clips WHERE id = NEW.clip_id), json_extract(NEW.details, '$.transcript.language')
            )
        WHERE clip_id = NEW.clip_id;
        {_set_words("NEW.clip_id")}
    END
    """,
    f"""
    CREATE TRIGGER predictions_delete_queue AFTER DELETE ON predictions BEGIN
        {_TICK} {_set_answer("OLD.clip_id")} {_set_words("OLD.clip_id")}
    END
    """,
    f"""
    CREATE TRIGGER corrections_insert_judge AFTER INSERT ON corrections BEGIN
        {_TICK} {_set_vote("NEW.rater", "NEW.clip_id")}
        DELETE FROM leases WHERE clip_id = NEW.clip_id AND rater = NEW.rater;
    END
    """,
    f"""
    CREATE TRIGGER corrections_insert_hear AFTER INSERT ON corrections WHEN NEW.transcript IS NOT NULL BEGIN
        {_TICK} {_set_words("NEW.clip_id")}
    END
    """,
    f"""
    CREATE TRIGGER corrections_update_judge AFTER UPDATE ON corrections BEGIN
        {_TICK} {_set_vote("OLD.rater", "OLD.clip_id")} {_set_vote("NEW.rater", "NEW.clip_id")}
        {_drop("OLD.rater", "OLD.clip_id")} {_set_words("OLD.clip_id")} {_set_words("NEW.clip_id")}
    END
    """,
    f"""
    CREATE TRIGGER corrections_delete_judge AFTER DELETE ON corrections BEGIN
        {_TICK} {_set_vote("OLD.rater", "OLD.clip_id")} {_drop("OLD.rater", "OLD.clip_id")} {_set_words("OLD.clip_id")}
    END
    """,
    _retraction("INSERT", "NEW"),
    _retraction("DELETE", "OLD"),
    f"CREATE TRIGGER judgements_insert_count AFTER INSERT ON judgements BEGIN {_count('NEW.clip_id')} END",
    f"CREATE TRIGGER judgements_update_count AFTER UPDATE ON judgements BEGIN {_count('NEW.clip_id')} END",
    f"""
    CREATE TRIGGER judgements_delete_count AFTER DELETE ON judgements BEGIN
        UPDATE queue_clock SET forgotten = forgotten + 1;
        {_count("OLD.clip_id")}
    END
    """,
    f"""
    CREATE TRIGGER gold_marks_insert_queue AFTER INSERT ON gold_marks BEGIN
        {_TICK}
        UPDATE queue_clips SET gold = (NEW.label IS NOT NULL), changed = {_NOW} WHERE clip_id = NEW.clip_id;
    END
    """,
    """
    CREATE TRIGGER clip_texts_insert_words AFTER INSERT ON clip_texts BEGIN
        INSERT INTO clip_words (rowid, text) VALUES (NEW.clip_id, NEW.text);
    END
    """,
    """
    CREATE TRIGGER clip_texts_update_words AFTER UPDATE OF text ON clip_texts BEGIN
        INSERT INTO clip_words (clip_words, rowid, text) VALUES ('delete', OLD.clip_id, OLD.text);
        INSERT INTO clip_words (rowid, text) VALUES (NEW.clip_id, NEW.text);
    END
    """,
    """
    CREATE TRIGGER clip_texts_delete_words AFTER DELETE ON clip_texts BEGIN
        INSERT INTO clip_words (clip_words, rowid, text) VALUES ('delete', OLD.clip_id, OLD.text);
    END
    """,
)
