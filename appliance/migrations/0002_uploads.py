"""Guest links, tags, joined uploads, quotas, and what is known of a file while it arrives."""

from typing import Any

STATEMENTS = (
    'ALTER TABLE "upload" ADD COLUMN "protocol" VARCHAR(255) NOT NULL DEFAULT \'\'',
    'ALTER TABLE "upload" ADD COLUMN "settled_offset" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "upload" ADD COLUMN "expected_bytes" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "upload" ADD COLUMN "rewound" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "upload" ADD COLUMN "touched_boot_s" REAL NOT NULL DEFAULT 0',
    'ALTER TABLE "upload" ADD COLUMN "concat" VARCHAR(255)',
    'ALTER TABLE "upload" ADD COLUMN "concat_said" TEXT',
    'ALTER TABLE "upload" ADD COLUMN "parts" TEXT',
    'ALTER TABLE "upload" ADD COLUMN "sent_sha256" VARCHAR(255)',
    'ALTER TABLE "upload" ADD COLUMN "early_look" TEXT',
    'ALTER TABLE "video" ADD COLUMN "guest_link_id" INTEGER',
    'ALTER TABLE "video" ADD COLUMN "guest_id" VARCHAR(255)',
    'ALTER TABLE "video" ADD COLUMN "index_moved" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "video" ADD COLUMN "sent_sha256" VARCHAR(255)',
    'ALTER TABLE "user" ADD COLUMN "quota_bytes" INTEGER',
    # SQLite wants a default for a new column; the models give each of these one themselves.
    'CREATE INDEX "upload_guest_link_id" ON "upload" ("guest_link_id")',
    'CREATE INDEX "video_guest_link_id" ON "video" ("guest_link_id")',
    """
    CREATE TABLE "guest_link" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "token_hash" VARCHAR(255) NOT NULL,
        "token_sealed" TEXT,
        "created_by_id" INTEGER,
        "title" VARCHAR(255) NOT NULL,
        "note" TEXT NOT NULL,
        "tag" VARCHAR(255) NOT NULL,
        "visibility" TEXT NOT NULL,
        "password_hash" TEXT,
        "max_files" INTEGER,
        "max_file_bytes" INTEGER,
        "created_at" TEXT NOT NULL,
        "expires_at" TEXT,
        "revoked_at" TEXT,
        "last_used_at" TEXT,
        FOREIGN KEY ("created_by_id") REFERENCES "user" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "guest_link_public_id" ON "guest_link" ("public_id")',
    'CREATE UNIQUE INDEX "guest_link_token_hash" ON "guest_link" ("token_hash")',
    'CREATE INDEX "guest_link_created_by_id" ON "guest_link" ("created_by_id")',
    """
    CREATE TABLE "video_tag" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "video_id" INTEGER NOT NULL,
        "name" VARCHAR(255) NOT NULL,
        FOREIGN KEY ("video_id") REFERENCES "video" ("id") ON DELETE CASCADE
    )
    """,
    'CREATE UNIQUE INDEX "video_tag_video_id_name" ON "video_tag" ("video_id", "name")',
    'CREATE INDEX "video_tag_name" ON "video_tag" ("name")',
    'CREATE INDEX "video_tag_video_id" ON "video_tag" ("video_id")',
)


def up(migrator: Any, db: Any) -> None:
    for statement in STATEMENTS:
        db.execute_sql(statement)
