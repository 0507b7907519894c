"""Renditions of many profiles; what jobs cost and how they went; posters, originals by choice."""

from typing import Any

STATEMENTS = (
    # Which version of a profile, with which choices of the admins: text, where a number was.
    'ALTER TABLE "rendition" ADD COLUMN "recipe" VARCHAR(255) NOT NULL DEFAULT \'\'',
    'UPDATE "rendition" SET "recipe" = CAST("profile_version" AS TEXT)',
    'ALTER TABLE "rendition" DROP COLUMN "profile_version"',
    'CREATE INDEX "rendition_profile_recipe_state_video_id" ON "rendition" ("profile", "recipe",'
    ' "state", "video_id")',
    'ALTER TABLE "rendition" ADD COLUMN "stands_in" INTEGER',
    # Sums of sizes are read from these alone.
    'DROP INDEX "rendition_state"',
    'ALTER TABLE "job" ADD COLUMN "room_bytes" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "job" ADD COLUMN "cores" REAL NOT NULL DEFAULT 0',
    'ALTER TABLE "job" ADD COLUMN "memory_mib" INTEGER NOT NULL DEFAULT 0',
    # What waits is counted as films in Full HD, or all of it would begin at once.
    'UPDATE "job" SET "cores" = 4.0, "memory_mib" = 400 WHERE "queue" = \'media\'',
    'ALTER TABLE "job" ADD COLUMN "work" REAL NOT NULL DEFAULT 0',
    'ALTER TABLE "job" ADD COLUMN "only_at_night" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "job" ADD COLUMN "stalls" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "video" ADD COLUMN "poster_choice" TEXT NOT NULL DEFAULT \'auto\'',
    'ALTER TABLE "video" ADD COLUMN "poster_at_s" REAL',
    'ALTER TABLE "video" ADD COLUMN "keep_original" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "video" ADD COLUMN "original_removed_at" TEXT',
    'CREATE INDEX "video_room" ON "video" ("received_at", "original_removed_at", "state",'
    ' "ready_at", "keep_original", "size_bytes")',
    'CREATE INDEX "rendition_room" ON "rendition" ("state", "profile", "method", "recipe",'
    ' "size_bytes", "ready_at", "stands_in", "video_id")',
    'CREATE INDEX "video_unlike_sent" ON "video" ("state") WHERE "sha256" != LOWER("sent_sha256")',
    # The ledger: its lines, and its counts.
    'DROP INDEX "job_queue_state_priority"',
    'CREATE INDEX "job_line" ON "job" ("queue", "priority" DESC, "id", "run_after",'
    """ "only_at_night") WHERE "state" = 'queued'""",
    'CREATE INDEX "job_state_finished_at_kind_error_code_video_id" ON "job" ("state",'
    ' "finished_at", "kind", "error_code", "video_id")',
    # The library: its counts, and its orders.
    'DROP INDEX "video_state"',
    'CREATE INDEX "video_state_visibility_owner_id" ON "video" ("state", "visibility", "owner_id")',
    'CREATE INDEX "video_title_lower" ON "video" (LOWER("title"), "id" DESC)',
    'CREATE INDEX "video_duration" ON "video" (IFNULL("duration_s", 0.0), "id")',
    """
    CREATE TABLE "damage" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "video_id" INTEGER NOT NULL,
        "name" VARCHAR(255) NOT NULL,
        "problem" VARCHAR(255) NOT NULL,
        "mending" INTEGER NOT NULL,
        "found_at" TEXT NOT NULL,
        FOREIGN KEY ("video_id") REFERENCES "video" ("id") ON DELETE CASCADE
    )
    """,
    'CREATE INDEX "damage_video_id" ON "damage" ("video_id")',
    'CREATE UNIQUE INDEX "damage_video_id_name" ON "damage" ("video_id", "name")',
    """
    CREATE TABLE "job_run" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "job_id" INTEGER NOT NULL,
        "fence" INTEGER NOT NULL,
        "worker" VARCHAR(255) NOT NULL,
        "started_at" TEXT NOT NULL,
        "ended_at" TEXT,
        "outcome" VARCHAR(255) NOT NULL,
        "stage" VARCHAR(255) NOT NULL,
        "progress" REAL NOT NULL,
        "error" TEXT,
        "error_code" VARCHAR(255),
        "detail" TEXT,
        FOREIGN KEY ("job_id") REFERENCES "job" ("id") ON DELETE CASCADE
    )
    """,
    'CREATE INDEX "job_run_job_id" ON "job_run" ("job_id")',
    """
    CREATE TABLE "job_sample" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "at" TEXT NOT NULL,
        "kind" VARCHAR(255) NOT NULL,
        "profile" VARCHAR(255) NOT NULL,
        "work" REAL NOT NULL,
        "seconds" REAL NOT NULL
    )
    """,
    'CREATE INDEX "job_sample_kind_profile" ON "job_sample" ("kind", "profile")',
    """
    CREATE TABLE "job_day" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "day" VARCHAR(255) NOT NULL,
        "kind" VARCHAR(255) NOT NULL,
        "completed" INTEGER NOT NULL,
        "failed" INTEGER NOT NULL,
        "cancelled" INTEGER NOT NULL,
        "seconds" REAL NOT NULL
    )
    """,
    'CREATE UNIQUE INDEX "job_day_day_kind" ON "job_day" ("day", "kind")',
)


def up(migrator: Any, db: Any) -> None:
    for statement in STATEMENTS:
        db.execute_sql(statement)
