"""Accounts that are connected by OAuth, budgets of calls, slots, templates; what comes after."""

from typing import Any

STATEMENTS = (
    'ALTER TABLE "account" ADD COLUMN "practice" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "account" ADD COLUMN "facts" TEXT NOT NULL DEFAULT \'{}\'',
    'ALTER TABLE "account" ADD COLUMN "stage_ahead" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "account" ADD COLUMN "expires_at" TEXT',
    'ALTER TABLE "account" ADD COLUMN "checked_at" TEXT',
    'ALTER TABLE "account" ADD COLUMN "failures" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "account" ADD COLUMN "paused_until" TEXT',
    'ALTER TABLE "account" ADD COLUMN "pause_reason" TEXT',
    'ALTER TABLE "post" ADD COLUMN "late_since" TEXT',
    'ALTER TABLE "post" ADD COLUMN "approval_note" TEXT NOT NULL DEFAULT \'\'',
    'ALTER TABLE "post" ADD COLUMN "hold_there" INTEGER NOT NULL DEFAULT 0',
    'ALTER TABLE "post_target" ADD COLUMN "held_until" TEXT',
    'ALTER TABLE "post_target" ADD COLUMN "staged_as" VARCHAR(255)',
    'ALTER TABLE "post_target" ADD COLUMN "edited_at" TEXT',
    'ALTER TABLE "post_target" ADD COLUMN "deleted_at" TEXT',
    'ALTER TABLE "post_target" ADD COLUMN "numbers" TEXT NOT NULL DEFAULT \'{}\'',
    'ALTER TABLE "post_target" ADD COLUMN "numbers_at" TEXT',
    """
    CREATE TABLE "connection" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "platform" VARCHAR(255) NOT NULL,
        "practice" INTEGER NOT NULL,
        "state" TEXT NOT NULL,
        "secret_hash" VARCHAR(255) NOT NULL,
        "sealed" TEXT,
        "user_id" INTEGER NOT NULL,
        "account_id" INTEGER,
        "found" TEXT NOT NULL,
        "error" TEXT,
        "created_at" TEXT NOT NULL,
        "updated_at" TEXT NOT NULL,
        "expires_at" TEXT NOT NULL,
        FOREIGN KEY ("user_id") REFERENCES "user" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("account_id") REFERENCES "account" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "connection_public_id" ON "connection" ("public_id")',
    'CREATE UNIQUE INDEX "connection_secret_hash" ON "connection" ("secret_hash")',
    'CREATE INDEX "connection_user_id" ON "connection" ("user_id")',
    'CREATE INDEX "connection_account_id" ON "connection" ("account_id")',
    """
    CREATE TABLE "quota_use" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "account_id" INTEGER NOT NULL,
        "target_id" INTEGER,
        "bucket" VARCHAR(255) NOT NULL,
        "units" INTEGER NOT NULL,
        "at" TEXT NOT NULL,
        FOREIGN KEY ("account_id") REFERENCES "account" ("id") ON DELETE CASCADE,
        FOREIGN KEY ("target_id") REFERENCES "post_target" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE INDEX "quota_use_account_id" ON "quota_use" ("account_id")',
    'CREATE INDEX "quota_use_target_id" ON "quota_use" ("target_id")',
    'CREATE INDEX "quota_use_account_id_bucket_at" ON "quota_use" ("account_id", "bucket", "at")',
    """
    CREATE TABLE "slot" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "weekday" INTEGER NOT NULL,
        "time" VARCHAR(255) NOT NULL,
        "time_zone" VARCHAR(255) NOT NULL,
        "created_by_id" INTEGER,
        "created_at" TEXT NOT NULL,
        FOREIGN KEY ("created_by_id") REFERENCES "user" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "slot_public_id" ON "slot" ("public_id")',
    'CREATE INDEX "slot_created_by_id" ON "slot" ("created_by_id")',
    'CREATE UNIQUE INDEX "slot_weekday_time_time_zone" ON "slot" ("weekday", "time", "time_zone")',
    """
    CREATE TABLE "post_template" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "name" VARCHAR(255) NOT NULL,
        "title" TEXT NOT NULL,
        "description" TEXT NOT NULL,
        "options" TEXT NOT NULL,
        "created_by_id" INTEGER,
        "created_at" TEXT NOT NULL,
        "updated_at" TEXT NOT NULL,
        FOREIGN KEY ("created_by_id") REFERENCES "user" ("id") ON DELETE SET NULL
    )
    """,
    'CREATE UNIQUE INDEX "post_template_public_id" ON "post_template" ("public_id")',
    'CREATE UNIQUE INDEX "post_template_name" ON "post_template" ("name")',
    'CREATE INDEX "post_template_created_by_id" ON "post_template" ("created_by_id")',
)


def up(migrator: Any, db: Any) -> None:
    for statement in STATEMENTS:
        db.execute_sql(statement)
