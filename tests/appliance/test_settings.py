"""Settings are read once; what is wrong is named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from appliance.errors import SettingsError
from appliance.settings import GIB, Settings, load_settings

BAD = {
    "data": None,  # any text is a path
    "listen": "8000",
    "public_url": "video.example.org",
    "media_url": "media.example.org/path",
    "development": "perhaps",
    "metrics_token": "hunter2",
    "alert_urls": "mailto",
    "log_level": "loud",
    "max_upload_bytes": "many",
    "max_open_uploads": "0",
    "upload_idle_hours": "0",
    "upload_grant_hours": "0",
    "guest_files_per_hour": "0",
    "max_upload_bodies": "0",
    "max_bodies_per_person": "0",
    "upload_silence_s": "0",
    "upload_min_rate": "slow",
    "user_quota": "some",
    "exact_originals": "nearly",
    "upload_fsync": "sometimes",
    "disk_reserve": "some",
    "disk_budget": "some",
    "keep_originals": "sometimes",
    "backup_folder": None,
    "backup_keep_daily": "0",
    "backup_keep_weekly": "-1",
    "backup_keep_monthly": "241",
    "trash_days": "0",
    "default_visibility": "public",
    "auto_renditions": "later",
    "max_duration_s": "-1",
    "max_pixels": "0",
    "max_tracks": "0",
    "ffmpeg": None,
    "encoder": "quantum",
    "sandbox": "chroot",
    "sandbox_socket": None,
    "stall_s": "0",
    "encode_cores": "0",
    "encode_memory": "much",
    "night_hours": "22-06",
    "lease_s": "0",
    "sweep_s": "nan?",
    "keep_jobs_days": "0",
    "account_pause_s": "0",
    "public_link_hours": "0.5",
    "practice": "no way",
    "folder": None,
    "google_client_id": "two words",
    "google_client_secret": None,  # Google says so itself
    "facebook_app_id": "my app",
    "facebook_app_secret": None,
    "graph_version": "25",
    "google_auth_url": "http://google.example",
    "google_token_url": "http://google.example",
    "youtube_api_url": "www.googleapis.com",
    "facebook_dialog_url": "ftp://localhost",
    "facebook_graph_url": "https://graph.facebook.com/v25.0",
    "instagram_graph_url": "http://192.0.2.1",
    "meta_rupload_url": "rupload",
    "team_name": "x" * 201,
    "privacy_contact": "x" * 321,
    "session_idle_days": "0",
    "session_max_days": "0",
    "team_time_zone": "Mars/Olympus",
    "credentials_key": None,  # its length is judged by the vault
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # no appliance.toml of the checkout


def test_this_table_knows_every_setting() -> None:
    assert set(BAD) == set(Settings.model_fields)


@pytest.mark.parametrize("name", [name for name, bad in BAD.items() if bad is not None])
def test_a_bad_value_stops_the_start_and_names_its_variable(name: str) -> None:
    variable = f"APPLIANCE_{name.upper()}"
    with pytest.raises(SettingsError, match=f"^{variable}: .*\\.$"):
        load_settings({variable: str(BAD[name])})


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_time_is_a_number_of_seconds(value: str) -> None:
    with pytest.raises(SettingsError, match="APPLIANCE_LEASE_S"):
        load_settings({"APPLIANCE_LEASE_S": value})


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"APPLIANCE_LISTEN": "x", "APPLIANCE_STALL_S": "-1"})
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org",
        "https://",
        "https://example.org:port",
        "https://example.org:99999",
        "https://example.org/videos",
        "https://example.org?x=1",
        "https://user@example.org",
    ],
)
def test_a_public_address_that_would_give_broken_links_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="APPLIANCE_PUBLIC_URL"):
        load_settings({"APPLIANCE_PUBLIC_URL": url})


@pytest.mark.parametrize(
    ("listen", "base_url"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("0.0.0.0:8000", "http://localhost:8000"),
        ("[::]:8000", "http://localhost:8000"),
        ("unix:/run/appliance/web.sock", "http://localhost"),
    ],
)
def test_the_address_for_people_follows_from_where_it_listens(listen: str, base_url: str) -> None:
    assert load_settings({"APPLIANCE_LISTEN": listen}).base_url == base_url


def test_the_public_address_wins_and_loses_its_slash() -> None:
    settings = load_settings({"APPLIANCE_PUBLIC_URL": "https://video.example.org/"})
    assert settings.base_url == "https://video.example.org"
    assert settings.https


@pytest.mark.parametrize("listen", ["unix:relative", "host:", ":80", "host:99999", "host:-1"])
def test_what_nothing_can_listen_on_is_refused(listen: str) -> None:
    with pytest.raises(SettingsError, match="APPLIANCE_LISTEN"):
        load_settings({"APPLIANCE_LISTEN": listen})


def test_unknown_names_stop_the_start() -> None:
    with pytest.raises(SettingsError, match=r"APPLIANCE_LISTENS is no setting"):
        load_settings({"APPLIANCE_LISTENS": "127.0.0.1:1"})
    Path("appliance.toml").write_text("[web]\nport = 1\n")
    with pytest.raises(SettingsError, match=r"appliance\.toml: web is no setting"):
        load_settings({})


def test_names_for_the_commands_are_no_settings_and_no_mistakes() -> None:
    load_settings({"APPLIANCE_URL": "https://example.org", "APPLIANCE_TOKEN": "secret"})


def test_strongest_first_option_environment_credential_file_default(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    Path("appliance.toml").write_text('lease_s = 1\nstall_s = 1\nsweep_s = 1\nlisten = "a:1"\n')
    for name in ("stall_s", "sweep_s", "listen"):
        (credentials / name).write_text("2\n" if name != "listen" else "b:2\n")
    (credentials / "something_of_another_program").write_text("not ours")
    environ = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "APPLIANCE_SWEEP_S": "3",
        "APPLIANCE_LISTEN": "c:3",
    }
    settings = load_settings(environ, listen="d:4")
    assert settings.keep_jobs_days == 7
    assert settings.lease_s == 1
    assert settings.stall_s == 2
    assert settings.sweep_s == 3
    assert settings.listen == "d:4"


def test_a_bad_option_is_named_as_it_was_typed() -> None:
    with pytest.raises(SettingsError, match=r"^--listen: "):
        load_settings({}, listen="nowhere")


def test_a_value_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("c2VjcmV0\n")
    settings = load_settings({"APPLIANCE_CREDENTIALS_KEY_FILE": str(secret)})
    assert settings.credentials_key is not None
    assert settings.credentials_key.get_secret_value() == "c2VjcmV0"


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="APPLIANCE_CREDENTIALS_KEY_FILE.*nowhere"):
        load_settings({"APPLIANCE_CREDENTIALS_KEY_FILE": str(tmp_path / "nowhere")})


def test_the_same_thing_said_twice_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "zone").write_text("UTC")
    environ = {
        "APPLIANCE_TEAM_TIME_ZONE": "Europe/Berlin",
        "APPLIANCE_TEAM_TIME_ZONE_FILE": str(tmp_path / "zone"),
    }
    with pytest.raises(SettingsError, match="APPLIANCE_TEAM_TIME_ZONE"):
        load_settings(environ)


def test_the_file_of_settings_is_looked_for_where_it_was_named(tmp_path: Path) -> None:
    named = tmp_path / "box.toml"
    with pytest.raises(SettingsError, match=r"APPLIANCE_CONFIG: there is no file .*box\.toml"):
        load_settings({"APPLIANCE_CONFIG": str(named)})
    named.write_text("lease_s = \n")
    with pytest.raises(SettingsError, match=r"box\.toml can't be read"):
        load_settings({"APPLIANCE_CONFIG": str(named)})
    named.write_text("lease_s = 12\n")
    assert load_settings({"APPLIANCE_CONFIG": str(named)}).lease_s == 12


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().listen = "elsewhere:1"


@pytest.mark.parametrize("show", [repr, str, lambda s: s.model_dump_json()])
def test_secrets_are_not_shown(show: Any) -> None:
    assert "hunter2" not in show(load_settings({"APPLIANCE_CREDENTIALS_KEY": "hunter2"}))


def test_a_bad_value_is_not_repeated_since_it_may_be_a_secret_in_the_wrong_place() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"APPLIANCE_LEASE_S": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_sizes_have_units_and_paths_become_absolute(tmp_path: Path) -> None:
    settings = load_settings({"APPLIANCE_MAX_UPLOAD_BYTES": "2 GiB", "APPLIANCE_DATA": "here"})
    assert settings.max_upload_bytes == 2 * GIB
    assert settings.data == tmp_path / "here"
    assert settings.database_path.parent == settings.data


def test_the_reserve_is_a_setting_or_a_part_of_the_disk(tmp_path: Path) -> None:
    assert Settings(data=tmp_path, disk_reserve="3 MB").reserve_bytes() == 3_000_000  # type: ignore[arg-type]
    worked_out = Settings(data=tmp_path).reserve_bytes()
    assert worked_out > 0


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert re.search(r"\.$", field.description), name
