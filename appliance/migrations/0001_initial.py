"""The first schema.

Plain SQL, frozen: it says what the tables were when this version came out, whatever the models
say today. A test compares a migrated database with the models.
"""

from typing import Any

STATEMENTS = (
    """
    CREATE TABLE "user" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "email" VARCHAR(255) NOT NULL,
        "name" VARCHAR(255) NOT NULL,
        "role" TEXT NOT NULL,
        "password_hash" TEXT,
        "time_zone" VARCHAR(255) NOT NULL,
        "theme" VARCHAR(255) NOT NULL,
        "shortcuts" INTEGER NOT NULL,
        "created_at" TEXT NOT NULL,
        "last_seen_at" TEXT,
        "deactivated_at" TEXT
    )
    """,
    'CREATE UNIQUE INDEX "user_public_id" ON "user" ("public_id")',
    'CREATE UNIQUE INDEX "user_email" ON "user" ("email")',
    """
    CREATE TABLE "account" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "platform" VARCHAR(255) NOT NULL,
        "name" VARCHAR(255) NOT NULL,
        "remote_id" VARCHAR(255) NOT NULL,
        "state" TEXT NOT NULL,
        "credentials" TEXT,
        "options" TEXT NOT NULL,
        "error" TEXT,
        "created_by_id" INTEGER,
        "created_at" TEXT NOT NULL,
        "last_used_at" TEXT,
        FOREIGN KEY ("created_by_id") REFERENCES "user" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "account_public_id" ON "account" ("public_id")',
    'CREATE INDEX "account_created_by_id" ON "account" ("created_by_id")',
    'CREATE UNIQUE INDEX "account_platform_remote_id" ON "account" ("platform", "remote_id")',
    """
    CREATE TABLE "api_token" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "user_id" INTEGER NOT NULL,
        "name" VARCHAR(255) NOT NULL,
        "prefix" VARCHAR(255) NOT NULL,
        "token_hash" VARCHAR(255) NOT NULL,
        "scopes" TEXT NOT NULL,
        "created_at" TEXT NOT NULL,
        "last_used_at" TEXT,
        "expires_at" TEXT,
        "revoked_at" TEXT,
        FOREIGN KEY ("user_id") REFERENCES "user" ("id") ON DELETE CASCADE
    )
    """,
    'CREATE UNIQUE INDEX "api_token_public_id" ON "api_token" ("public_id")',
    'CREATE INDEX "api_token_user_id" ON "api_token" ("user_id")',
    'CREATE UNIQUE INDEX "api_token_token_hash" ON "api_token" ("token_hash")',
    """
    CREATE TABLE "video" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "owner_id" INTEGER,
        "state" TEXT NOT NULL,
        "state_before_trash" VARCHAR(255),
        "visibility" TEXT NOT NULL,
        "source" TEXT NOT NULL,
        "guest_name" VARCHAR(255),
        "title" VARCHAR(255) NOT NULL,
        "description" TEXT NOT NULL,
        "filename" VARCHAR(255) NOT NULL,
        "size_bytes" INTEGER NOT NULL,
        "sha256" VARCHAR(255),
        "duration_s" REAL,
        "width" INTEGER,
        "height" INTEGER,
        "facts" TEXT,
        "poster_version" INTEGER NOT NULL,
        "link_generation" INTEGER NOT NULL,
        "error" TEXT,
        "error_detail" TEXT,
        "created_at" TEXT NOT NULL,
        "received_at" TEXT,
        "ready_at" TEXT,
        "deleted_at" TEXT,
        FOREIGN KEY ("owner_id") REFERENCES "user" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "video_public_id" ON "video" ("public_id")',
    'CREATE INDEX "video_owner_id" ON "video" ("owner_id")',
    'CREATE INDEX "video_state" ON "video" ("state")',
    'CREATE INDEX "video_sha256" ON "video" ("sha256")',
    'CREATE INDEX "video_created_at" ON "video" ("created_at")',
    """
    CREATE TABLE "post" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "video_id" INTEGER NOT NULL,
        "author_id" INTEGER,
        "state" TEXT NOT NULL,
        "approval" TEXT NOT NULL,
        "approved_by_id" INTEGER,
        "draft" TEXT,
        "title" TEXT NOT NULL,
        "description" TEXT NOT NULL,
        "publish_at" TEXT,
        "time_zone" VARCHAR(255) NOT NULL,
        "error" TEXT,
        "created_at" TEXT NOT NULL,
        "updated_at" TEXT NOT NULL,
        "finished_at" TEXT,
        FOREIGN KEY ("video_id") REFERENCES "video" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("author_id") REFERENCES "user" ("id") ON DELETE SET NULL,
        FOREIGN KEY ("approved_by_id") REFERENCES "user" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "post_public_id" ON "post" ("public_id")',
    'CREATE INDEX "post_video_id" ON "post" ("video_id")',
    'CREATE INDEX "post_author_id" ON "post" ("author_id")',
    'CREATE INDEX "post_state" ON "post" ("state")',
    'CREATE INDEX "post_approved_by_id" ON "post" ("approved_by_id")',
    'CREATE INDEX "post_created_at" ON "post" ("created_at")',
    """
    CREATE TABLE "rendition" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "video_id" INTEGER NOT NULL,
        "profile" VARCHAR(255) NOT NULL,
        "profile_version" INTEGER NOT NULL,
        "state" TEXT NOT NULL,
        "wanted" INTEGER NOT NULL,
        "method" TEXT,
        "facts" TEXT,
        "size_bytes" INTEGER NOT NULL,
        "sha256" VARCHAR(255),
        "error" TEXT,
        "error_detail" TEXT,
        "created_at" TEXT NOT NULL,
        "ready_at" TEXT,
        FOREIGN KEY ("video_id") REFERENCES "video" ("id") ON DELETE CASCADE
    )
    """,
    'CREATE UNIQUE INDEX "rendition_public_id" ON "rendition" ("public_id")',
    'CREATE INDEX "rendition_video_id" ON "rendition" ("video_id")',
    'CREATE UNIQUE INDEX "rendition_video_id_profile" ON "rendition" ("video_id", "profile")',
    'CREATE INDEX "rendition_state" ON "rendition" ("state")',
    """
    CREATE TABLE "public_link" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "token_hash" VARCHAR(255) NOT NULL,
        "video_id" INTEGER NOT NULL,
        "rendition_id" INTEGER,
        "purpose" VARCHAR(255) NOT NULL,
        "created_by_id" INTEGER,
        "created_at" TEXT NOT NULL,
        "expires_at" TEXT NOT NULL,
        "revoked_at" TEXT,
        "last_used_at" TEXT,
        FOREIGN KEY ("video_id") REFERENCES "video" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("rendition_id") REFERENCES "rendition" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("created_by_id") REFERENCES "user" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "public_link_public_id" ON "public_link" ("public_id")',
    'CREATE UNIQUE INDEX "public_link_token_hash" ON "public_link" ("token_hash")',
    'CREATE INDEX "public_link_video_id" ON "public_link" ("video_id")',
    'CREATE INDEX "public_link_rendition_id" ON "public_link" ("rendition_id")',
    'CREATE INDEX "public_link_created_by_id" ON "public_link" ("created_by_id")',
    """
    CREATE TABLE "post_target" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "post_id" INTEGER NOT NULL,
        "account_id" INTEGER NOT NULL,
        "generation" INTEGER NOT NULL,
        "state" TEXT NOT NULL,
        "stage" VARCHAR(255) NOT NULL,
        "overrides" TEXT NOT NULL,
        "checkpoint" TEXT NOT NULL,
        "staged_until" TEXT,
        "rendition_id" INTEGER,
        "public_link_id" INTEGER,
        "remote_id" VARCHAR(255),
        "url" TEXT,
        "error" TEXT,
        "error_code" VARCHAR(255),
        "error_detail" TEXT,
        "created_at" TEXT NOT NULL,
        "updated_at" TEXT NOT NULL,
        "published_at" TEXT,
        FOREIGN KEY ("post_id") REFERENCES "post" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("account_id") REFERENCES "account" ("id") ON DELETE RESTRICT,
        FOREIGN KEY ("rendition_id") REFERENCES "rendition" ("id") ON DELETE SET NULL,
        FOREIGN KEY ("public_link_id") REFERENCES "public_link" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "post_target_public_id" ON "post_target" ("public_id")',
    'CREATE INDEX "post_target_post_id" ON "post_target" ("post_id")',
    'CREATE INDEX "post_target_account_id" ON "post_target" ("account_id")',
    'CREATE INDEX "post_target_state" ON "post_target" ("state")',
    'CREATE INDEX "post_target_rendition_id" ON "post_target" ("rendition_id")',
    'CREATE INDEX "post_target_public_link_id" ON "post_target" ("public_link_id")',
    """
    CREATE UNIQUE INDEX "post_target_post_id_account_id_generation"
        ON "post_target" ("post_id", "account_id", "generation")
    """,
    """
    CREATE TABLE "attempt" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "target_id" INTEGER NOT NULL,
        "step" VARCHAR(255) NOT NULL,
        "outcome" VARCHAR(255),
        "error" TEXT,
        "detail" TEXT,
        "needs_person" INTEGER NOT NULL,
        "started_at" TEXT NOT NULL,
        "ended_at" TEXT,
        FOREIGN KEY ("target_id") REFERENCES "post_target" ("id") ON DELETE CASCADE
    )
    """,
    'CREATE INDEX "attempt_target_id" ON "attempt" ("target_id")',
    """
    CREATE TABLE "audit_entry" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "at" TEXT NOT NULL,
        "actor_id" INTEGER,
        "actor_name" VARCHAR(255) NOT NULL,
        "action" VARCHAR(255) NOT NULL,
        "subject" VARCHAR(255) NOT NULL,
        "detail" TEXT NOT NULL,
        "address" VARCHAR(255) NOT NULL,
        FOREIGN KEY ("actor_id") REFERENCES "user" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE INDEX "audit_entry_at" ON "audit_entry" ("at")',
    'CREATE INDEX "audit_entry_actor_id" ON "audit_entry" ("actor_id")',
    """
    CREATE TABLE "event" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "at" TEXT NOT NULL,
        "type" VARCHAR(255) NOT NULL,
        "subject" VARCHAR(255) NOT NULL,
        "actor_id" INTEGER,
        "video_id" INTEGER,
        "only_user_id" INTEGER,
        "admins_only" INTEGER NOT NULL,
        "data" TEXT NOT NULL,
        FOREIGN KEY ("actor_id") REFERENCES "user" ("id") ON DELETE SET NULL,
        FOREIGN KEY ("video_id") REFERENCES "video" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("only_user_id") REFERENCES "user" ("id") ON DELETE CASCADE
    )
    """,
    'CREATE INDEX "event_at" ON "event" ("at")',
    'CREATE INDEX "event_actor_id" ON "event" ("actor_id")',
    'CREATE INDEX "event_video_id" ON "event" ("video_id")',
    'CREATE INDEX "event_only_user_id" ON "event" ("only_user_id")',
    """
    CREATE TABLE "heartbeat" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "process" VARCHAR(255) NOT NULL,
        "pid" INTEGER NOT NULL,
        "boot_id" VARCHAR(255) NOT NULL,
        "beat_boottime_s" REAL NOT NULL,
        "beat_at" TEXT NOT NULL,
        "started_at" TEXT NOT NULL,
        "info" TEXT NOT NULL
    )
    """,
    'CREATE UNIQUE INDEX "heartbeat_process" ON "heartbeat" ("process")',
    """
    CREATE TABLE "idempotency_key" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "user_id" INTEGER NOT NULL,
        "key" VARCHAR(255) NOT NULL,
        "fingerprint" VARCHAR(255) NOT NULL,
        "answer" TEXT,
        "created_at" TEXT NOT NULL,
        FOREIGN KEY ("user_id") REFERENCES "user" ("id") ON DELETE CASCADE
    )
    """,
    'CREATE INDEX "idempotency_key_user_id" ON "idempotency_key" ("user_id")',
    'CREATE INDEX "idempotency_key_created_at" ON "idempotency_key" ("created_at")',
    'CREATE UNIQUE INDEX "idempotency_key_user_id_key" ON "idempotency_key" ("user_id", "key")',
    """
    CREATE TABLE "invite" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "kind" TEXT NOT NULL,
        "token_hash" VARCHAR(255) NOT NULL,
        "role" TEXT NOT NULL,
        "email" VARCHAR(255) NOT NULL,
        "user_id" INTEGER,
        "created_by_id" INTEGER,
        "created_at" TEXT NOT NULL,
        "expires_at" TEXT NOT NULL,
        "used_at" TEXT,
        "revoked_at" TEXT,
        FOREIGN KEY ("user_id") REFERENCES "user" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("created_by_id") REFERENCES "user" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "invite_public_id" ON "invite" ("public_id")',
    'CREATE UNIQUE INDEX "invite_token_hash" ON "invite" ("token_hash")',
    'CREATE INDEX "invite_user_id" ON "invite" ("user_id")',
    'CREATE INDEX "invite_created_by_id" ON "invite" ("created_by_id")',
    """
    CREATE TABLE "job" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "kind" VARCHAR(255) NOT NULL,
        "queue" VARCHAR(255) NOT NULL,
        "key" VARCHAR(255) NOT NULL,
        "video_id" INTEGER,
        "rendition_id" INTEGER,
        "post_id" INTEGER,
        "target_id" INTEGER,
        "payload" TEXT NOT NULL,
        "state" TEXT NOT NULL,
        "priority" INTEGER NOT NULL,
        "attempts" INTEGER NOT NULL,
        "max_attempts" INTEGER NOT NULL,
        "crashes" INTEGER NOT NULL,
        "fence" INTEGER NOT NULL,
        "run_after" TEXT,
        "lease_owner" VARCHAR(255),
        "lease_until" REAL,
        "lease_boot" VARCHAR(255),
        "cancel_requested" INTEGER NOT NULL,
        "stage" VARCHAR(255) NOT NULL,
        "progress" REAL NOT NULL,
        "eta_s" REAL,
        "error" TEXT,
        "error_code" VARCHAR(255),
        "detail" TEXT,
        "created_at" TEXT NOT NULL,
        "started_at" TEXT,
        "finished_at" TEXT,
        FOREIGN KEY ("video_id") REFERENCES "video" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("rendition_id") REFERENCES "rendition" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("post_id") REFERENCES "post" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("target_id") REFERENCES "post_target" ("id") ON DELETE CASCADE
    )
    """,
    'CREATE UNIQUE INDEX "job_public_id" ON "job" ("public_id")',
    'CREATE INDEX "job_kind" ON "job" ("kind")',
    'CREATE INDEX "job_video_id" ON "job" ("video_id")',
    'CREATE INDEX "job_rendition_id" ON "job" ("rendition_id")',
    'CREATE INDEX "job_post_id" ON "job" ("post_id")',
    'CREATE INDEX "job_target_id" ON "job" ("target_id")',
    'CREATE INDEX "job_created_at" ON "job" ("created_at")',
    'CREATE INDEX "job_queue_state_priority" ON "job" ("queue", "state", "priority")',
    """CREATE UNIQUE INDEX "job_live_key" ON "job" ("key") WHERE state IN ('queued', 'running')""",
    """
    CREATE TABLE "session" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "token_hash" VARCHAR(255) NOT NULL,
        "user_id" INTEGER NOT NULL,
        "created_at" TEXT NOT NULL,
        "last_seen_at" TEXT NOT NULL,
        "expires_at" TEXT NOT NULL,
        "address" VARCHAR(255) NOT NULL,
        "agent" VARCHAR(255) NOT NULL,
        FOREIGN KEY ("user_id") REFERENCES "user" ("id") ON DELETE CASCADE
    )
    """,
    'CREATE UNIQUE INDEX "session_token_hash" ON "session" ("token_hash")',
    'CREATE INDEX "session_user_id" ON "session" ("user_id")',
    """
    CREATE TABLE "setting" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "name" VARCHAR(255) NOT NULL,
        "value" TEXT NOT NULL,
        "updated_at" TEXT NOT NULL
    )
    """,
    'CREATE UNIQUE INDEX "setting_name" ON "setting" ("name")',
    """
    CREATE TABLE "throttle" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "key" VARCHAR(255) NOT NULL,
        "failures" INTEGER NOT NULL,
        "last_at" TEXT NOT NULL
    )
    """,
    'CREATE UNIQUE INDEX "throttle_key" ON "throttle" ("key")',
    """
    CREATE TABLE "upload" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "token_hash" VARCHAR(255) NOT NULL,
        "owner_id" INTEGER,
        "video_id" INTEGER,
        "source" TEXT NOT NULL,
        "guest_link_id" INTEGER,
        "state" TEXT NOT NULL,
        "length" INTEGER,
        "complete_declared" INTEGER NOT NULL,
        "metadata_raw" TEXT NOT NULL,
        "filename" VARCHAR(255) NOT NULL,
        "content_type" VARCHAR(255) NOT NULL,
        "durable_offset" INTEGER NOT NULL,
        "boot_id" VARCHAR(255) NOT NULL,
        "final_answer" TEXT,
        "error" TEXT,
        "created_at" TEXT NOT NULL,
        "touched_at" TEXT NOT NULL,
        "expires_at" TEXT NOT NULL,
        FOREIGN KEY ("owner_id") REFERENCES "user" ("id") ON DELETE SET NULL,
        FOREIGN KEY ("video_id") REFERENCES "video" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "upload_public_id" ON "upload" ("public_id")',
    'CREATE INDEX "upload_owner_id" ON "upload" ("owner_id")',
    'CREATE INDEX "upload_video_id" ON "upload" ("video_id")',
    'CREATE INDEX "upload_state" ON "upload" ("state")',
    """
    CREATE VIRTUAL TABLE video_search USING fts5(
        title, filename, description,
        content='video', content_rowid='id',
        tokenize="unicode61 remove_diacritics 2", prefix='2 3'
    )
    """,
    """
    CREATE TRIGGER video_search_insert AFTER INSERT ON video BEGIN
        INSERT INTO video_search(rowid, title, filename, description)
        VALUES (new.id, new.title, new.filename, new.description);
    END
    """,
    """
    CREATE TRIGGER video_search_delete AFTER DELETE ON video BEGIN
        INSERT INTO video_search(video_search, rowid, title, filename, description)
        VALUES ('delete', old.id, old.title, old.filename, old.description);
    END
    """,
    """
    CREATE TRIGGER video_search_update AFTER UPDATE OF title, filename, description ON video BEGIN
        INSERT INTO video_search(video_search, rowid, title, filename, description)
        VALUES ('delete', old.id, old.title, old.filename, old.description);
        INSERT INTO video_search(rowid, title, filename, description)
        VALUES (new.id, new.title, new.filename, new.description);
    END
    """,
)


def up(migrator: Any, db: Any) -> None:
    for statement in STATEMENTS:
        db.execute_sql(statement)
