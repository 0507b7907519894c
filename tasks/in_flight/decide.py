"""Whether a file is encoded while it still arrives, when that begins, and when it gives way. Pure.

It must never keep others waiting: an encode that waits for bytes holds a place that work with all
its bytes could have. And it saves no more than the time that the encode takes: so it begins when
the upload has about that much left, and then hardly ever waits.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from appliance.models import Method
from tasks.early_look.estimate import encode_s
from tasks.early_look.verdict import Kind, whole
from tasks.probe.facts import Probe
from tasks.transcode.plan import plan

if TYPE_CHECKING:
    from tasks.early_look.verdict import Beginning, Verdict
    from tasks.profiles import Profile
    from tasks.transcode.plan import Plan

# How much longer than expected the encode may take without ending later than it could have.
_LEAD, _LEAD_S = 2.0, 10.0
# The film is not read by its picture when only the sound is encoded: many times quicker.
_SOUND_ALONE = 0.02
_LOOK_AGAIN_S = 5.0
_LONGEST_WAIT_S = 300.0
# No byte for so long: the sender has a break. The encode is thrown away, and begun anew later.
SILENCE_S = 20.0
# Others wait for less than this rather than having the work so far thrown away.
NEARLY_S = 15.0
# Of the time, waited for bytes: more, and the upload is what the encoder waits for.
_IDLE = 0.25
# Thrown away so often, it is left to the encode of the whole file.
MOST_TRIES = 3


@dataclass(frozen=True)
class Prospect:
    """An encode that can begin before all of the file is here; kept in the job's payload.

    ``probe``: of the whole, as far as its beginning tells. ``encode_s``: about how long it takes.
    """

    upload_id: str
    rewound: int
    recipe: str
    probe: Probe
    encode_s: float
    tries: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "probe": self.probe.to_dict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Prospect:
        return cls(**{**data, "probe": Probe.from_dict(data["probe"])})


def prospect(
    upload_id: str,
    rewound: int,
    beginning: Beginning,
    verdict: Verdict,
    profile: Profile,
    *,
    pixels_per_s: float,
) -> Prospect | None:
    """What can be made of a growing file; None: that is decided when all of it is here."""
    if verdict.kind is not Kind.FINE or beginning.length is None:
        return None
    probe = whole(beginning)
    chosen = plan(probe, profile)
    if chosen.method not in (Method.AUDIO, Method.TRANSCODE) or chosen.passes > 1:
        return None
    if not index_is_first(probe):
        return None
    if chosen.picture is not None:
        seconds = encode_s(chosen.picture, probe.duration_s, pixels_per_s)
    else:
        seconds = probe.duration_s * _SOUND_ALONE
    return Prospect(upload_id, rewound, profile.recipe, probe, seconds)


def index_is_first(probe: Probe) -> bool:
    """Whether a demuxer that can't go back finds its way: what it has to know comes first."""
    if probe.format.startswith("mov,"):
        return bool(probe.faststart) or probe.fragmented
    return probe.format.startswith(("matroska,", "mpegts"))


@dataclass(frozen=True)
class Outlook:
    """Before it begins. ``rest_s``: until the last byte, at the pace so far; None: not known.
    ``silent_s``: since the last byte. ``others_wait``: work that has all it needs, for a place."""

    encode_s: float
    rest_s: float | None
    silent_s: float
    others_wait: bool


def wait_s(outlook: Outlook) -> float:
    """Seconds until it is worth asking again; 0.0: begin now."""
    if outlook.rest_s is None or outlook.others_wait or outlook.silent_s > SILENCE_S / 4:
        return max(_LOOK_AGAIN_S, min(outlook.silent_s, _LONGEST_WAIT_S))
    lead_s = _LEAD * outlook.encode_s + _LEAD_S
    if outlook.rest_s > lead_s:
        # Half of it: the pace may pick up.
        return min(_LONGEST_WAIT_S, max(2.0, (outlook.rest_s - lead_s) / 2))
    return 0.0


@dataclass(frozen=True)
class Flow:
    """While it runs. ``hungry_s``: how long nothing has come; ``idle``: the share of the last
    seconds that it has waited for bytes; ``rest_s`` as above; ``all_here``: nothing more comes."""

    hungry_s: float
    idle: float
    rest_s: float | None
    others_wait: bool
    all_here: bool


def gives_way(flow: Flow) -> str:
    """Why it ends before the upload does, for the log; "": it goes on."""
    if flow.all_here:
        return ""  # an encode like any other
    if flow.hungry_s > SILENCE_S:
        return f"no bytes came for {flow.hungry_s:.0f} s"
    nearly = flow.rest_s is not None and flow.rest_s <= NEARLY_S
    if flow.others_wait and flow.idle > _IDLE and not nearly:
        return "the upload is slower than the encoder, and other work waits"
    return ""


def what_differs(then: Plan, now: Plan, before: Probe, after: Probe) -> str:
    """Why what was made of the growing file isn't what the finished one needs; "": it is."""
    if replace(then, reasons=()) != replace(now, reasons=()):
        return "something else has to be done with it"
    if before.size_bytes != after.size_bytes:
        return f"it has {after.size_bytes} bytes instead of {before.size_bytes}"
    if _tracks(before) != _tracks(after):
        return "it has other tracks"
    return ""


def _tracks(probe: Probe) -> tuple[Any, ...]:
    video, sound = probe.video, probe.audio
    return (
        probe.format,
        video and (video.index, video.codec, video.width, video.height, video.pix_fmt),
        sound and (sound.index, sound.codec, sound.rate_hz, sound.channels),
    )
