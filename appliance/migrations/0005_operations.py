"""Runs of backups, alerts, and the ways to reach an admin."""

from typing import Any

STATEMENTS = (
    """
    CREATE TABLE "backup_run" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "kind" VARCHAR(255) NOT NULL,
        "state" TEXT NOT NULL,
        "name" VARCHAR(255) NOT NULL,
        "pid" INTEGER NOT NULL,
        "boot_id" VARCHAR(255) NOT NULL,
        "info" TEXT NOT NULL,
        "error" TEXT,
        "started_at" TEXT NOT NULL,
        "finished_at" TEXT
    )
    """,
    'CREATE INDEX "backup_run_started_at" ON "backup_run" ("started_at")',
    """
    CREATE TABLE "alert" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "key" VARCHAR(255) NOT NULL,
        "kind" VARCHAR(255) NOT NULL,
        "state" TEXT NOT NULL,
        "title" TEXT NOT NULL,
        "text" TEXT NOT NULL,
        "first_at" TEXT NOT NULL,
        "last_at" TEXT NOT NULL,
        "cleared_at" TEXT,
        "told_at" TEXT
    )
    """,
    'CREATE UNIQUE INDEX "alert_key" ON "alert" ("key")',
    'CREATE INDEX "alert_kind" ON "alert" ("kind")',
    """
    CREATE TABLE "alert_channel" (
        "id" INTEGER NOT NULL PRIMARY KEY,
        "public_id" VARCHAR(255) NOT NULL,
        "name" VARCHAR(255) NOT NULL,
        "service" VARCHAR(255) NOT NULL,
        "sealed" TEXT NOT NULL,
        "kinds" TEXT NOT NULL,
        "enabled" INTEGER NOT NULL,
        "error" TEXT,
        "sent_at" TEXT,
        "created_at" TEXT NOT NULL
    )
    """,
    'CREATE UNIQUE INDEX "alert_channel_public_id" ON "alert_channel" ("public_id")',
)


def up(migrator: Any, db: Any) -> None:
    for statement in STATEMENTS:
        db.execute_sql(statement)
