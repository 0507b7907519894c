"""Which encoder pictures get on this box: hardware only after it has made a film before our eyes.

That ffmpeg lists an encoder says nothing: drivers are missing, cards are too old, the last of a
card's sessions is taken. So each one that has its device encodes one second, and what came of it
is looked into like any other result, and compared with x264's. What was found stands in a row, and
holds for this start of the machine and this ffmpeg.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from appliance import kept
from appliance.clock import boot_id
from appliance.db import database, transaction
from appliance.errors import ApplianceError
from storage.layout import Layout
from tasks import sandbox
from tasks.ffmpeg import find_ffmpeg, thread_count
from tasks.probe.look import look
from tasks.profiles import SOCIAL
from tasks.sandbox_types import MIB, Command, Ended, Limits
from tasks.transcode.encoders import SOFTWARE, Encoder, Nvenc, Qsv, Vaapi
from tasks.transcode.plan import Picture, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from appliance.settings import Settings
    from tasks.context import Context
    from tasks.probe.facts import Probe

log = logging.getLogger(__name__)

ROW = "encoders"
HARDWARE = ("nvenc", "qsv", "vaapi")
LABELS = {"nvenc": "NVENC", "qsv": "Quick Sync", "vaapi": "VAAPI"}
# One second of what people make now; long enough that the start of a driver isn't all.
WIDTH, HEIGHT, FPS = 1920, 1080, 60
_PATIENCE_S = 30.0
_FORGOTTEN_S = 3600.0
_MEMORY_BYTES = 4096 * MIB
_INTEL = "0x8086"

# `auto` takes hardware that is so much quicker than x264 here, and gives no more away than this.
QUICKER, WORSE_DB, LARGER = 0.67, 0.5, 1.25


@dataclass(frozen=True)
class Made:
    """What one second became. ``ssim_db``: how near it is to its source; more is better."""

    seconds: float
    size_bytes: int
    ssim_db: float


@dataclass(frozen=True)
class Proof:
    """``why``: a sentence when it doesn't work; ``device``: "" where there is no choice."""

    name: str
    why: str
    device: str = ""
    made: Made | None = None

    @property
    def works(self) -> bool:
        return self.made is not None


@dataclass(frozen=True)
class Found:
    """All that was tried. ``software``: x264's second; None when there was nothing to compare."""

    proofs: tuple[Proof, ...]
    software: Made | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Found:
        def made(one: dict[str, Any] | None) -> Made | None:
            return None if one is None else Made(**one)

        proofs = tuple(Proof(**{**one, "made": made(one["made"])}) for one in data["proofs"])
        return cls(proofs, made(data["software"]))

    def of(self, name: str) -> Proof | None:
        """The one that works, else any."""
        ours = [proof for proof in self.proofs if proof.name == name]
        return next((proof for proof in ours if proof.works), ours[0] if ours else None)


# What is taken


def choose(settings: Settings) -> Encoder:
    """The encoder for pictures on this box now. Wants an open connection."""
    if settings.encoder == "x264":
        return SOFTWARE
    found = recall(settings)
    return SOFTWARE if found is None else decide(settings.encoder, found)


def decide(wanted: str, found: Found) -> Encoder:
    """By the setting and by what was seen. Pure."""
    if wanted == "auto":
        worth = [proof for proof in found.proofs if is_worth_it(proof.made, found.software)]
        best = min(worth, key=lambda proof: proof.made.seconds if proof.made else 0, default=None)
    else:
        best = found.of(wanted)
    return encoder_of(best.name, best.device) if best and best.works else SOFTWARE


def is_worth_it(made: Made | None, software: Made | None) -> bool:
    """Quicker, and neither visibly worse nor much larger than x264. Pure."""
    if made is None or software is None:
        return False
    return (
        made.seconds <= software.seconds * QUICKER
        and made.ssim_db >= software.ssim_db - WORSE_DB
        and made.size_bytes <= software.size_bytes * LARGER
    )


def encoder_of(name: str, device: str = "") -> Encoder:
    match name:
        case "nvenc":
            return Nvenc()
        case "vaapi":
            return Vaapi(Path(device))
        case "qsv":
            return Qsv(Path(device))
    return SOFTWARE


def recall(settings: Settings) -> Found | None:
    """What was found since the machine started, with this ffmpeg; None: nobody has tried yet.

    Wants an open connection.
    """
    known = kept.read(ROW)
    if known.get("boot") != boot_id() or known["ffmpeg"] != identity(find_ffmpeg(settings)):
        return None
    return Found.from_dict(known["found"])


def identity(ffmpeg: Path) -> str:
    about = ffmpeg.stat()
    return f"{ffmpeg}:{about.st_size}:{about.st_mtime_ns}"


# What is tried


def remember(settings: Settings, check: Callable[[], None]) -> Found:
    """Try what nobody has tried yet. Opens connections of its own, for moments."""
    with database.connection_context():
        known = recall(settings)
    if known is not None:
        return known
    ffmpeg = identity(find_ffmpeg(settings))
    found = try_all(settings, check)
    for proof in found.proofs:
        state = f"{proof.made}" if proof.made else proof.why
        log.info("encoder %s %s: %s", proof.name, proof.device, state)
    value = {"boot": boot_id(), "ffmpeg": ffmpeg, "found": found.to_dict()}
    with database.connection_context(), transaction():
        kept.write(ROW, value)
    return found


def try_all(settings: Settings, check: Callable[[], None]) -> Found:
    """Each kind of hardware: no encoder, no device, or one second with it."""
    # Not in /tmp: the unit of the sandbox shows what lies below `data`, and nothing else.
    home = Layout(settings.data).proof
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    _clear(home)
    with tempfile.TemporaryDirectory(dir=home) as folder:
        trial = _Trial(settings, Path(folder), check)
        listed = trial.run([str(trial.ffmpeg), "-hide_banner", "-encoders"]).output.decode()
        proofs, software = [], None
        for name in HARDWARE:
            places = devices_of(name) if f" h264_{name} " in listed else []
            if not places:
                why = _no_device(name) if f" h264_{name} " in listed else "ffmpeg was built without"
                proofs.append(Proof(name, why))
            for place in places:
                if software is None:
                    software = trial.encode(SOFTWARE)
                proofs.append(trial.prove(name, place))
        return Found(tuple(proofs), software if isinstance(software, Made) else None)


def _clear(home: Path) -> None:
    """Of what a worker left behind that was killed; another may be at it in this moment."""
    for folder in home.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - folder.stat().st_mtime > _FORGOTTEN_S:
                shutil.rmtree(folder, ignore_errors=True)


def _no_device(name: str) -> str:
    node = "/dev/nvidiactl" if name == "nvenc" else "/dev/dri/renderD*"
    return f"this machine has no device for it ({node})"


def devices_of(name: str, dev: Path = Path("/dev"), sys: Path = Path("/sys")) -> list[str]:
    """The nodes that it may encode with; "" where there is no choice; []: none."""
    if name == "nvenc":
        return [""] if (dev / "nvidiactl").exists() else []
    nodes = sorted((dev / "dri").glob("renderD*"))
    if name == "qsv":
        nodes = [node for node in nodes if _vendor(node, sys) == _INTEL]
    return [str(node) for node in nodes]


def _vendor(node: Path, sys: Path) -> str:
    try:
        return (sys / "class" / "drm" / node.name / "device" / "vendor").read_text().strip()
    except OSError:
        return ""


def _source() -> str:
    return f"testsrc2=s={WIDTH}x{HEIGHT}:r={FPS}:d=1"


class _Trial:
    """Encodes of one second, in the sandbox that all encodes run in."""

    def __init__(self, settings: Settings, folder: Path, check: Callable[[], None]) -> None:
        self.settings, self.folder, self.check = settings, folder, check
        self.ffmpeg = find_ffmpeg(settings)

    def moved(self) -> None:
        """A second needs no watch; its patience ends it."""

    def prove(self, name: str, device: str) -> Proof:
        try:
            made = self.encode(encoder_of(name, device))
        except ApplianceError as exc:
            made = str(exc)
        return (
            Proof(name, "", device, made) if isinstance(made, Made) else Proof(name, made, device)
        )

    def encode(self, encoder: Encoder) -> Made | str:
        """What came of it, or why nothing did."""
        targets = SOCIAL.targets
        assert targets is not None
        picture = Picture(WIDTH, HEIGHT, str(FPS), "4.2", False, False, "bt709")
        made = self.folder / f"{encoder.name}.mp4"
        chain = ["format=yuv420p", "setsar=1", *encoder.filters_end()]
        began_s = time.monotonic()
        ended = self.run(
            [
                *(str(self.ffmpeg), "-hide_banner", "-nostdin", "-loglevel", "warning", "-y"),
                *encoder.input_options(),
                *("-f", "lavfi", "-i", _source(), "-vf", ",".join(chain)),
                *encoder.options(picture, targets, thread_count()),
                *(
                    "-f",
                    "mp4",
                    "-movflags",
                    "+faststart",
                    "-use_editlist",
                    "0",
                    f"file:{made.name}",
                ),
            ],
            encoder,
        )
        seconds = time.monotonic() - began_s
        if ended.code != 0:
            return f"it does not work here: {last_line(ended.words)}"
        if fault := self.look_into(made):
            return f"what it makes {fault}"
        return Made(round(seconds, 2), made.stat().st_size, self.compare(made))

    def look_into(self, made: Path) -> str:
        """Decoded on the processor, like everything that comes in. What is wrong with it, or ""."""
        # All that a look needs of a job: where, how long, and under which settings.
        return what_is_wrong(look(made, cast("Context", self)))

    def compare(self, made: Path) -> float:
        ended = self.run(
            [
                *(str(self.ffmpeg), "-hide_banner", "-nostdin", "-i", f"file:{made.name}"),
                *("-f", "lavfi", "-i", _source()),
                *("-lavfi", f"[0:v]settb=1/{FPS},setpts=N[a];[1:v]format=yuv420p[b];[a][b]ssim"),
                *("-f", "null", "-"),
            ]
        )
        told = re.search(r"SSIM .*All:[\d.]+ \((inf|[\d.]+)\)", ended.words)
        return min(100.0, float(told[1])) if told else 0.0

    def run(self, argv: list[str], encoder: Encoder = SOFTWARE) -> Ended:
        command = Command(
            argv=tuple(argv),
            folder=self.folder,
            reads=(self.ffmpeg,),
            devices=encoder.devices,
            limits=Limits(
                memory_bytes=_MEMORY_BYTES + encoder.address_space_bytes,
                cpu_s=120,
                file_bytes=64 * MIB,
            ),
        )
        return sandbox.run(command, self.settings, check=self.check, timeout_s=_PATIENCE_S)


def what_is_wrong(probe: Probe) -> str:
    """The end of "what it makes …"; "": it is what was asked for. Pure."""
    video = probe.video
    if video is None or not video.decodes:
        return "can't be read"
    if (video.width, video.height) != (WIDTH, HEIGHT):
        return f"is {video.width} × {video.height} instead of {WIDTH} × {HEIGHT}"
    if video.codec != "h264" or "High" not in video.profile:
        return f"is {video.codec} {video.profile} instead of h264 High"
    if not 0.9 <= probe.duration_s <= 1.1:
        return f"lasts {probe.duration_s:.2f} s instead of 1 s"
    chosen = plan(probe, SOCIAL)
    return "" if chosen.picture is None else "isn't taken: " + ", ".join(chosen.reasons)


def last_line(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it ended without a word"


def describe(wanted: str, found: Found | None) -> tuple[str, list[str]]:
    """For people: who encodes, and what is to be said of each kind of hardware. Pure."""
    if wanted == "x264":
        return SOFTWARE.label, []
    if found is None:
        return SOFTWARE.label, ["Hardware has not been tried yet since the machine started."]
    return decide(wanted, found).label, [_say(proof, found) for proof in _each_once(found)]


def _each_once(found: Found) -> Iterable[Proof]:
    return (proof for name in HARDWARE if (proof := found.of(name)) is not None)


def _say(proof: Proof, found: Found) -> str:
    label = LABELS[proof.name]
    if proof.made is None:
        return f"{label}: {proof.why}."
    words = f"{label}: works"
    if found.software is not None:
        speed = found.software.seconds / max(0.01, proof.made.seconds)
        size = proof.made.size_bytes / max(1, found.software.size_bytes)
        better_db = proof.made.ssim_db - found.software.ssim_db
        words += (
            f", {speed:.1f} times as quick as x264, {size:.2f} times as large, "
            f"{better_db:+.1f} dB of likeness"
        )
    return words + "."
